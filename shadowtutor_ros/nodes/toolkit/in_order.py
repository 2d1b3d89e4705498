# SPDX-License-Identifier: Apache-2.0
"""Results that come in any order, handed on in the order in which they were asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
import threading
from typing import Any, TypeVar

T = TypeVar('T')


class InOrder:
    """
    Hands each result on when it is there and all before it were handed on.

    One that has nothing to wait for is handed on while it is put here; all others in a thread of
    their own. One thread puts.
    """

    def __init__(self, name: str) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], None]]] = deque()
        self._handing = False
        self._thread = ThreadPoolExecutor(1, name)

    def put(
        self, future: Future[T], on_result: Callable[[T], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """
        Hand on what will be the future's result, or to ``on_error`` its error or ``on_result``'s.

        The error of one that is handed on at once is raised here.
        """
        hand_on = partial(_hand_on, future, on_result, on_error)
        with self._changed:
            waits = self._handing or bool(self._waiting) or not future.done()
            if waits:
                self._waiting.append((future, hand_on))
        if waits:
            future.add_done_callback(lambda _: self._thread.submit(self._go_on))
        else:
            on_result(future.result())

    def join(self) -> None:
        """Return when everything has been handed on."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._handing)

    def _go_on(self) -> None:
        while True:
            with self._changed:
                if not self._waiting or not self._waiting[0][0].done():
                    return
                _, hand_on = self._waiting.popleft()
                self._handing = True
            hand_on()
            with self._changed:
                self._handing = False
                self._changed.notify_all()


def _hand_on(
    future: Future[T], on_result: Callable[[T], None], on_error: Callable[[Exception], None],
) -> None:
    try:
        on_result(future.result())
    except Exception as error:
        on_error(error)
