# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from concurrent.futures import Future
import threading

import pytest

from shadowtutor_ros.nodes.toolkit.in_order import InOrder


class Hand:
    """Takes what is handed on, with the thread's name."""

    def __init__(self) -> None:
        self.got: list[int | str] = []
        self.threads: list[str] = []

    def take(self, result: int) -> None:
        self.threads.append(threading.current_thread().name)
        if result < 0:
            raise ValueError('negative')
        self.got.append(result)

    def err(self, error: Exception) -> None:
        self.got.append(str(error))


def done(result: int) -> Future[int]:
    future: Future[int] = Future()
    future.set_result(result)
    return future


def test_what_is_there_is_handed_on_at_once_by_who_puts_it() -> None:
    order, hand = InOrder('answers'), Hand()
    for number in 1, 2:
        order.put(done(number), hand.take, hand.err)
    assert hand.got == [1, 2]
    assert hand.threads == [threading.current_thread().name] * 2
    with pytest.raises(ValueError, match='negative'):
        order.put(done(-3), hand.take, hand.err)
    order.put(done(4), hand.take, hand.err)
    assert hand.got == [1, 2, 4]
    order.join()


def test_results_wait_for_those_before() -> None:
    order, hand = InOrder('answers'), Hand()
    futures: list[Future[int]] = [Future() for _ in range(50)]
    for future in futures:
        order.put(future, hand.take, hand.err)
    order.put(done(50), hand.take, hand.err)
    first, *others = range(50)
    for number in reversed(others):
        futures[number].set_result(number)
    assert hand.got == []
    futures[first].set_result(first)
    order.join()
    assert hand.got == list(range(51))
    assert set(hand.threads) == {'answers_0'}


def test_an_error_is_handed_on_in_its_turn_and_those_after_it_come() -> None:
    order, hand = InOrder('answers'), Hand()
    futures: list[Future[int]] = [Future() for _ in range(4)]
    for future in futures:
        order.put(future, hand.take, hand.err)
    futures[3].set_result(3)
    futures[2].set_result(-2)  # which taking it makes an error
    futures[1].set_exception(OSError('lost'))
    futures[0].set_result(0)
    order.join()
    assert hand.got == [0, 'lost', 'negative', 3]
