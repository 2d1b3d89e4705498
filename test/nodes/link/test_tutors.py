# SPDX-License-Identifier: Apache-2.0
"""What a robot's tutors may be called; test_failover.py has them take over from each other."""

import pytest

from shadowtutor_ros.nodes.link.piece_channel import channel_name, is_channel_of, MOST_TUTORS
from shadowtutor_ros.nodes.link.tutors import BadTutorNames, gone_words, tutor_names

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(('text', 'names'), [
    ('/tutor', ('/tutor',)), ('/a, b ,/c/d', ('/a', 'b', '/c/d'))])
def test_names_with_commas_between_them(text: str, names: tuple[str, ...]) -> None:
    assert tutor_names(text) == names


@pytest.mark.parametrize('text', [
    '', '/a,', ',', '/a,/a', '/a b', '/a,/1', ','.join(f'/t{i}' for i in range(MOST_TUTORS + 1))])
def test_what_names_no_tutors_is_refused(text: str) -> None:
    with pytest.raises(BadTutorNames, match=r'^tutor: '):
        tutor_names(text)


def test_each_tutor_has_a_channel_of_its_own() -> None:
    names = {channel_name('/robot', 'camera', 7, tutor) for tutor in range(MOST_TUTORS)}
    assert len(names) == MOST_TUTORS
    assert all(is_channel_of(name, 'camera', 7) for name in names)
    assert not any(is_channel_of(name, 'camera', 8) for name in names)


def test_all_that_are_gone_are_named() -> None:
    assert gone_words(('/tutor',)) == 'the tutor /tutor is gone'
    assert gone_words(('/a', '/b')) == 'the tutors /a, /b are gone'
