# SPDX-License-Identifier: Apache-2.0
"""Where a stream is taught: by what workers can do and what is asked of them."""

import math

import pytest

from shadowtutor_ros.schedule.placement import best_move, best_place, Move, Place

UNKNOWN = math.nan


def place(rates: str = '', service: float = 0.1, queued: int = 0, rate: float = 1.0) -> Place:
    """Return a worker with a stream for each letter."""
    return Place(service, queued, dict.fromkeys(rates, rate))


@pytest.mark.parametrize(('places', 'best'), [
    ([place('ab'), place('c')], 1),
    ([place('ab', UNKNOWN), place('c', UNKNOWN)], 1),  # nobody has taught yet
    ([place('ab', rate=UNKNOWN), place('c', rate=UNKNOWN)], 1),
    ([place('abc', service=0.1), place('d', service=0.5)], 0),  # a quick one can do more
    ([place('ab', rate=0.1), place('c', rate=2.0)], 0),  # robots that seldom ask are little work
    ([place(queued=9), place('a', queued=0)], 0),  # 0.09 s a second to come, beside 0.1
    ([place(queued=21), place('a', queued=0)], 1),
    ([place(), place()], 0)])
def test_a_new_stream_goes_where_least_is_asked_for(places: list[Place], best: int) -> None:
    assert best_place(places) == best


@pytest.mark.parametrize(('places', 'move'), [
    ([place('a'), place('bcd')], Move('b', 1, 0)),
    ([place('a'), place('bc')], None),  # the other one would be as crowded
    ([place('a', service=0.3), place('bcd')], None),  # it is slow, and does enough
    ([place('abc', service=0.3), place('d')], Move('a', 0, 1)),
    ([place('', queued=0), place('ab', queued=3)], Move('a', 1, 0)),
    ([Place(0.1, 0, {'a': 1.0}), Place(0.1, 0, {'b': 0.2, 'c': 3.0, 'd': 1.0})],
     Move('d', 1, 0)),  # after which they are most alike
    ([place('a'), place()], None),
    ([place('abcdefghijklmnopqrst'), place('uvwxyzABCDEFGHIJKL')], None),  # hardly worth it
    ([place('abc')], None), ([place(), place()], None), ([], None)])
def test_a_stream_moves_where_that_is_worth_it(places: list[Place], move: Move | None) -> None:
    movable = {stream_id for each in places for stream_id in each.rates}
    assert best_move(places, movable) == move


def test_who_has_a_key_frame_under_way_stays() -> None:
    places = [place(''), place('ab')]
    assert best_move(places, {'b'}) == Move('b', 1, 0)
    assert best_move(places, {'c'}) is None


def test_after_a_move_nobody_moves_back() -> None:
    places = [place('', 0.2), place('abcdefg', 0.1)]
    for _ in range(10):
        move = best_move(places, 'abcdefg')
        if move is None:
            break
        rates = [dict(one.rates) for one in places]
        rates[move.target][move.stream_id] = rates[move.source].pop(move.stream_id)
        places = [Place(one.service, 0, each) for one, each in zip(places, rates)]
    assert [len(one.rates) for one in places] == [2, 5]
