# SPDX-License-Identifier: Apache-2.0
from hypothesis import given, settings, strategies as st
import pytest

from shadowtutor_ros.transfer.path import INITIAL_TIMEOUT, MAX_TIMEOUT, MIN_TIMEOUT, PathEstimate
from shadowtutor_ros.transfer.pieces import LARGE_PIECE_BYTES, PIECE_BYTES


def test_nothing_is_known_at_first() -> None:
    path = PathEstimate()
    assert path.srtt is None
    assert path.timeout == INITIAL_TIMEOUT == 0.2
    assert path.goodput == 0.0


def test_rfc_6298_by_hand() -> None:
    path = PathEstimate()
    path.on_round_trip(0.08)
    assert (path.srtt, path.rttvar) == (0.08, 0.04)
    assert path.timeout == pytest.approx(0.08 + 4 * 0.04)
    path.on_round_trip(0.16)
    assert path.rttvar == pytest.approx(0.75 * 0.04 + 0.25 * 0.08)
    assert path.srtt == pytest.approx(0.875 * 0.08 + 0.125 * 0.16)
    assert path.timeout == pytest.approx(0.09 + 4 * 0.05)


def test_the_timeout_stays_off_a_steady_round_trip() -> None:
    near, far = PathEstimate(), PathEstimate()
    for _ in range(200):
        near.on_round_trip(0.001)
        far.on_round_trip(0.1)
    assert near.timeout == MIN_TIMEOUT == 0.02
    assert far.timeout == pytest.approx(0.11)


@settings(derandomize=True)
@given(st.lists(st.floats(0, 100), min_size=1))
def test_no_history_silences_the_timer(round_trips: list[float]) -> None:
    path = PathEstimate()
    for seconds in round_trips:
        path.on_round_trip(seconds)
    assert MIN_TIMEOUT <= path.timeout <= MAX_TIMEOUT


def test_pieces_are_counted() -> None:
    path = PathEstimate()
    path.on_sent(8, repeated=0)
    path.on_sent(3, repeated=2)
    assert (path.sent, path.repeated) == (11, 2)


def test_goodput_does_not_jump_when_reports_bunch() -> None:
    path = PathEstimate()
    for _ in range(40):  # payloads of 40 pieces; all but one report of each come at once
        path.on_acknowledged(10_000, 0.05)
        for _ in range(5):
            path.on_acknowledged(10_000, 0.0)
        assert path.goodput == pytest.approx(60_000 / 0.05, rel=0.1)


def test_goodput_forgets() -> None:
    path = PathEstimate()
    path.on_acknowledged(100_000, 10.0)  # an outage
    for _ in range(50):
        path.on_acknowledged(60_000, 0.1)
    assert path.goodput == pytest.approx(600_000, rel=0.1)
    path.on_acknowledged(0, 0.0)
    assert path.goodput == pytest.approx(600_000, rel=0.1)


def test_pieces_are_large_after_many_that_were_not_repeated() -> None:
    path = PathEstimate()
    enough = 256 << 10
    for _ in range(3):
        path.on_sent(8, repeated=1)
        assert path.piece_bytes == PIECE_BYTES
        path.on_acknowledged(enough - 1, 1.0)
        assert path.piece_bytes == PIECE_BYTES
        path.on_sent(8, repeated=1)  # small ones that were lost change nothing
        path.on_acknowledged(enough, 1.0)
        assert path.piece_bytes == LARGE_PIECE_BYTES
        enough *= 2  # a large one that was lost does
