# SPDX-License-Identifier: Apache-2.0
"""Which versions a session knows."""

import pytest

from shadowtutor_ros.runtime.session import Running, Session
from shadowtutor_ros.wire.update import NO_SESSION


def test_a_session_knows_what_it_gave() -> None:
    session = Session()
    session.version = 3
    assert session.id != NO_SESSION
    assert [session.knows(Running(session.id, version)) for version in (0, 3, 4)] == [
        True, True, False]
    assert not session.knows(Running(session.id + 1, 0))
    assert session.base(Running(session.id, 2)) == 2


def test_a_version_beyond_all_numbers_begins_another_session() -> None:
    session = Session()
    before = session.id
    assert session.base(Running(before, 1)) is None
    assert session.id != before


def test_who_goes_on_counts_beyond_what_another_may_have_given() -> None:
    sessions = [Session.after(Running(5, 7), [7]) for _ in range(2)]
    for session in sessions:
        assert session.id == 5
        assert session.version >= 1007
        assert [session.base(Running(5, version)) for version in (6, 7, 8, 1000)] == [
            None, 7, None, None]
    assert sessions[0].version != sessions[1].version or (
        Session.after(Running(5, 7), [7]).version != sessions[0].version)  # by chance


@pytest.mark.parametrize(('running', 'can'), [
    (Running(NO_SESSION, 0), False), (Running(1, 0), True), (Running(1, 2**32 - 1), False)])
def test_whether_another_tutor_can_go_on(running: Running, can: bool) -> None:
    assert running.can_go_on == can
