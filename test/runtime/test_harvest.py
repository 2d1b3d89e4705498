# SPDX-License-Identifier: Apache-2.0
"""What streams learn at workers is kept, and taken along; test_pool.py has it with lessons."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import cast

import numpy as np
import pytest

from shadowtutor_ros.runtime.harvest import Harvest
from shadowtutor_ros.runtime.seat import Seat
from shadowtutor_ros.runtime.stream_states import CarriedStates
from shadowtutor_ros.runtime.worker import Worker, WorkerLost
from shadowtutor_ros.snapshot import Snapshot


def snapshot(number: int) -> Snapshot:
    return {'number': np.array(number)}


class Learns:
    """A worker that is asked what its streams have become."""

    name = 'worker1'

    def __init__(self) -> None:
        self.asked: list[Future[Mapping[str, Snapshot]]] = []

    def learnt(self, most: int) -> Future[Mapping[str, Snapshot]]:
        self.asked.append(Future())
        return self.asked[-1]


@pytest.fixture
def worker() -> Learns:
    return Learns()


@pytest.fixture
def seat(worker: Learns) -> Seat:
    seat = Seat(cast('Worker', worker), 0.0, ready=True)
    seat.take('a')
    return seat


def test_what_has_come_is_kept_and_more_is_asked_for(worker: Learns, seat: Seat) -> None:
    states = CarriedStates()
    harvest = Harvest(states)
    harvest.gather(seat)
    harvest.gather(seat)  # it has not answered yet
    assert len(worker.asked) == 1
    worker.asked[0].set_result({'a': snapshot(1), 'b': snapshot(2)})
    harvest.gather(seat)
    harvest.gather(seat)
    assert len(worker.asked) == 2
    assert list(states.fetch(9)) == ['a']  # b has its place elsewhere by now
    worker.asked[1].set_exception(WorkerLost('worker1 is gone'))
    harvest.gather(seat)


def test_who_gets_a_stream_gets_what_is_kept_of_it_once(seat: Seat) -> None:
    states = CarriedStates()
    states.bring('a', snapshot(3))
    harvest = Harvest(states)
    assert harvest.seed_for(seat, 'b') is None
    seed = harvest.seed_for(seat, 'a')
    assert seed is not None
    assert int(seed['number']) == 3
    states.bring('a', snapshot(4))
    assert harvest.seed_for(seat, 'a') is None


def test_where_nothing_is_kept_nobody_is_asked(worker: Learns, seat: Seat) -> None:
    harvest = Harvest(None)
    harvest.gather(seat)
    harvest.gather_all([seat])
    assert harvest.seed_for(seat, 'a') is None
    assert worker.asked == []


def test_a_worker_has_so_many_at_most_that_nobody_fetches() -> None:
    states = CarriedStates()
    for number in range(40):
        states.put(str(number), snapshot(number))
    states.put('3', snapshot(99))
    assert len(states.fetch(4)) == 4
    rest = states.fetch(99)
    assert len(rest) == 28
    assert states.fetch(1) == {}
