# SPDX-License-Identifier: Apache-2.0
"""What a pool makes of what its workers say."""

import math
from typing import cast

import pytest

from shadowtutor_ros.runtime.report import StreamReport, TutorReport
from shadowtutor_ros.runtime.seat import Seat
from shadowtutor_ros.runtime.worker import Worker
from shadowtutor_ros.schedule.load import Wish


@pytest.fixture
def seat() -> Seat:
    """A seat of a worker that is ready, with the streams a and b."""
    seat = Seat(cast('Worker', None), 0.0)
    for stream_id in 'ab':
        seat.take(stream_id)
    seat.hear('here', report(0.0), 10.0)
    return seat


def report(seconds: float, **key_frames: int) -> TutorReport:
    """Return what a worker says that has taught for so long."""
    return TutorReport(0, seconds, tuple(
        StreamReport(stream_id, 1, count, 0.0, 0.0, 1, 0.0)
        for stream_id, count in key_frames.items()))


def test_the_time_of_a_key_frame_is_measured_after_the_first_lessons(seat: Seat) -> None:
    assert math.isnan(seat.service)
    seat.hear('here', report(4.0, a=2, b=2), 20.0)  # 1 s each, once
    assert math.isnan(seat.service)
    seat.hear('here', report(5.0, a=7, b=7), 30.0)
    assert seat.service == pytest.approx(0.1)
    seat.hear('here', report(5.0, a=7, b=7), 40.0)  # nobody asked
    assert seat.service == pytest.approx(0.1)
    assert seat.load == 0.0
    seat.hear('here', report(9.0, a=17), 50.0)  # one has left
    assert seat.service == pytest.approx(0.9 * 0.1 + 0.1 * 0.4)
    assert seat.load == pytest.approx(0.4)


def test_lessons_of_streams_that_have_left_are_not_counted_twice(seat: Seat) -> None:
    seat.let_go('b')
    seat.hear('here', report(1.0, a=5, b=100), 20.0)
    assert seat.service == pytest.approx(0.2)


def test_its_place_says_what_its_streams_want(seat: Seat) -> None:
    place = seat.place({'a': Wish(0.1, 5), 'c': Wish(0.1, 1)})
    assert place.rates['a'] == pytest.approx(2.0)
    assert math.isnan(place.rates['b'])
    assert place.rates.keys() == {'a', 'b'}
    assert (place.queued, math.isnan(place.service)) == (0, True)


def test_a_stream_is_a_stranger_until_it_has_left_or_was_asked_about(seat: Seat) -> None:
    assert seat.strangers == {'a', 'b'}
    seat.let_go('a')
    assert (seat.streams, seat.strangers) == ({'b'}, {'b'})
