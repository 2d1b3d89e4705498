# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest

from shadowtutor_ros.schedule.turns import (
    Admission,
    BadStreamId,
    MAX_STREAM_ID,
    OWNER_SILENCE,
    PROBATION,
    StreamTaken,
    TooManyStreams,
    Turns,
)


def turns_of(*streams: str, idle_timeout: float = 100.0) -> Turns[int]:
    turns: Turns[int] = Turns(len(streams), idle_timeout)
    for stream in streams:
        turns.admit(stream, 0, 0.0)
    return turns


def test_nobody_has_a_turn_when_nothing_waits() -> None:
    assert turns_of('a').take() is None


def test_the_newest_key_frame_of_a_stream_replaces_the_one_that_waits() -> None:
    turns = turns_of('a', 'b')
    assert turns.put('a', 1, 0.0) is None
    assert turns.put('b', 2, 1.0) is None
    assert turns.put('a', 3, 2.0) == 1
    assert turns.waiting == 2
    assert turns.take() == ('a', 3)  # it waits since 1 came
    assert turns.take() == ('b', 2)
    assert turns.waiting == 0


def test_a_stream_that_is_taught_waits_for_the_end() -> None:
    turns = turns_of('a')
    turns.put('a', 1, 0.0)
    assert turns.take() == ('a', 1)
    assert turns.put('a', 2, 1.0) is None
    assert turns.take() is None
    turns.done('a', 1.0)
    assert turns.take() == ('a', 2)


@pytest.mark.parametrize('workers', [1, 3])
def test_streams_that_always_wait_have_equally_many_turns(workers: int) -> None:
    names = [f'robot {k}' for k in range(8)]
    turns = turns_of(*names)
    for name in names:
        turns.put(name, 0, 0.0)
    served: Counter[str] = Counter()
    taught: list[str] = []
    for number in range(1, 1001):
        while len(taught) < workers and (turn := turns.take()) is not None:
            taught.append(turn[0])
        name = taught.pop(0)
        served[name] += 1
        turns.done(name, float(number))
        turns.put(name, number, float(number))
        assert max(served.values()) - min(served[n] for n in names) <= 1


def test_a_stream_that_seldom_asks_goes_before_those_that_always_do() -> None:
    turns = turns_of('busy', 'other', 'seldom')
    for number in range(10):
        turns.put('busy', number, float(number))
        turns.put('other', number, float(number))
        if number == 6:
            turns.put('seldom', number, float(number))
        name, _ = turns.take() or ('', 0)
        assert (name == 'seldom') == (number == 6)
        turns.done(name, float(number))


def test_the_oldest_weights_go_first_and_not_who_came_first() -> None:
    turns = turns_of('a', 'b')
    for name, arrived in (('a', 1.0), ('b', 2.0)):
        turns.put(name, 0, arrived)
    assert turns.take() == ('a', 0)
    assert turns.take() == ('b', 0)
    for name, now in (('b', 3.0), ('a', 9.0)):  # the lesson of a took longer
        turns.done(name, now)
        turns.put(name, 1, now)
    assert turns.take() == ('a', 1)
    assert turns.take() == ('b', 1)


def test_weights_are_as_old_as_the_key_frame_and_not_as_its_turn() -> None:
    turns = turns_of('patient', 'swift', 'other')
    turns.put('patient', 0, 1.0)
    turns.put('swift', 0, 2.0)
    turns.take()
    turns.take()
    for name in ('patient', 'swift'):
        turns.done(name, 3.0)
    turns.put('patient', 1, 3.0)
    turns.put('patient', 2, 5.0)  # the newer key frame, in the place of the older one
    turns.put('swift', 1, 4.0)
    assert turns.take() == ('patient', 2)
    assert turns.take() == ('swift', 1)
    for name in ('patient', 'swift'):
        turns.done(name, 6.0)
        turns.put(name, 3, 6.0)
    assert turns.take() == ('swift', 3)  # its weights are of 4.0, the other's of 5.0


def test_who_was_never_taught_goes_first() -> None:
    turns = turns_of('old', 'new')
    turns.put('old', 0, 1.0)
    turns.take()
    turns.done('old', 1.0)
    turns.put('old', 1, 50.0)
    turns.admit('new', 0, 99.0)
    turns.put('new', 0, 99.0)
    assert turns.take() == ('new', 0)


def test_a_stream_whose_lessons_fail_is_not_always_next() -> None:
    turns = turns_of('broken', 'sound')
    taken = []
    for number in range(10):
        for name in ('broken', 'sound'):
            turns.put(name, number, float(number))
        name, _ = turns.take() or ('', 0)
        taken.append(name)
        turns.done(name, float(number))  # nobody says how it went
    assert taken.count('sound') == 5


@pytest.mark.parametrize('stream_id', ['', 'x' * (MAX_STREAM_ID + 1), '\u00e9' * MAX_STREAM_ID])
def test_a_bad_stream_id_has_no_place(stream_id: str) -> None:
    turns = turns_of('a')
    with pytest.raises(BadStreamId, match=f'1 to {MAX_STREAM_ID} bytes, '
                                          f'got {len(stream_id.encode())}'):
        turns.admit(stream_id, 0, 0.0)
    assert turns.streams == ('a',)


def test_a_new_stream_takes_the_place_that_was_idle_for_longest() -> None:
    turns = turns_of('a', 'b', idle_timeout=10.0)
    turns.admit('a', 0, 5.0)
    with pytest.raises(TooManyStreams, match=r'all 2 streams were active in the last 10 s'):
        turns.admit('c', 0, 9.9)
    assert turns.streams == ('a', 'b')
    assert turns.admit('c', 0, 10.0) == Admission('b')
    assert turns.streams == ('a', 'c')
    assert turns.admit('d', 0, 30.0) == Admission('a')


@pytest.mark.parametrize('taken', [False, True])
def test_a_stream_keeps_its_place_while_it_waits_or_is_taught(taken: bool) -> None:
    turns = turns_of('a', idle_timeout=0.0)
    turns.put('a', 1, 0.0)
    if taken:
        turns.take()
    with pytest.raises(TooManyStreams):
        turns.admit('b', 0, 1e6)
    turns.take()
    turns.done('a', 1e6)
    assert turns.admit('b', 0, 1e6) == Admission('a')


def test_a_stream_belongs_to_one_robot_until_that_is_silent() -> None:
    turns: Turns[int] = Turns(1, 100.0)
    turns.admit('camera', 7, 0.0)
    assert turns.admit('camera', 7, 3.0) == Admission()
    with pytest.raises(StreamTaken, match=r"'camera' belongs to another robot, heard 2\.0 s ago"):
        turns.admit('camera', 8, 5.0)
    assert turns.admit('camera', 8, 3.0 + OWNER_SILENCE) == Admission(changed_hands=True)
    with pytest.raises(StreamTaken):
        turns.admit('camera', 7, 4.0 + OWNER_SILENCE)


@pytest.mark.parametrize('taken', [False, True])
def test_a_robot_that_waits_for_its_answer_is_not_silent(taken: bool) -> None:
    turns: Turns[int] = Turns(1, 100.0)
    turns.admit('camera', 7, 0.0)
    turns.put('camera', 1, 0.0)
    if taken:
        turns.take()
    with pytest.raises(StreamTaken):
        turns.admit('camera', 8, 1000.0)
    turns.take()
    turns.done('camera', 1000.0)
    with pytest.raises(StreamTaken):
        turns.admit('camera', 8, 1000.1)


def test_idle_counts_from_the_last_request_or_answer() -> None:
    turns = turns_of('a')
    turns.put('a', 1, 0.0)
    turns.take()
    assert turns.idle('a', 4.0) == 4.0
    turns.done('a', 10.0)
    assert turns.idle('a', 12.5) == 2.5


def test_who_learns_nothing_loses_its_place_however_often_it_is_heard() -> None:
    """Places that a stranger takes and keeps warm."""
    turns = turns_of('squatter', 'robot')
    turns.put('robot', 0, 0.0)
    turns.take()
    turns.done('robot', 1.0)
    for now in range(0, int(PROBATION), 9):
        turns.admit('squatter', 0, float(now))
        with pytest.raises(TooManyStreams):
            turns.admit('new', 0, float(now))
    assert turns.admit('new', 0, PROBATION) == Admission('squatter')


def test_a_key_frame_that_fails_is_nothing_learnt() -> None:
    turns = turns_of('squatter', 'robot')
    for name in 'squatter', 'robot':
        turns.put(name, 0, 50.0)
        turns.take()
        turns.done(name, 51.0, taught=name == 'robot')
    assert turns.admit('new', 0, PROBATION) == Admission('squatter')
    with pytest.raises(TooManyStreams):
        turns.admit('another', 0, PROBATION)
