# SPDX-License-Identifier: Apache-2.0
"""Time that jumps from event to event, and what is used at the same time by several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
import heapq
from typing import Generic, TypeVar

T = TypeVar('T')

Action = Callable[[], None]

_NOTHING_LEFT = 1e-12  # seconds


class Events:
    """Actions in the order of their times; ``now`` is in seconds from 0."""

    def __init__(self) -> None:
        self.now = 0.0
        self._waiting: list[tuple[float, int, Action]] = []
        self._count = 0

    def after(self, seconds: float, action: Action) -> None:
        """Have ``action`` done ``seconds`` from now; those of one time in the order of asking."""
        self._count += 1
        heapq.heappush(self._waiting, (self.now + seconds, self._count, action))

    def run(self, until: float) -> None:
        """Do everything up to ``until``."""
        while self._waiting and self._waiting[0][0] <= until:
            self.now, _, action = heapq.heappop(self._waiting)
            action()
        self.now = until


class Shared:
    """
    Something that works for all who ask at once, each at most at its own full speed.

    ``capacity`` of them have full speed; more share it equally.
    """

    def __init__(self, events: Events, capacity: int) -> None:
        self.busy_seconds = 0.0  # at full capacity
        self._events = events
        self._capacity = capacity
        self._works: list[_Work] = []
        self._since = 0.0
        self._plans = 0

    def work(self, seconds: float, done: Action) -> None:
        """Do ``seconds`` of work for somebody, then ``done``."""
        self._advance()
        self._works.append(_Work(seconds, done))
        self._plan()

    def _rate(self) -> float:
        return min(1.0, self._capacity / len(self._works))

    def _advance(self) -> None:
        elapsed, self._since = self._events.now - self._since, self._events.now
        if not self._works:
            return
        rate = self._rate()
        self.busy_seconds += elapsed * rate * len(self._works) / self._capacity
        for work in self._works:
            work.left -= elapsed * rate

    def _plan(self) -> None:
        self._plans += 1
        if self._works:
            least = max(0.0, min(work.left for work in self._works))
            self._events.after(least / self._rate(), partial(self._end, self._plans))

    def _end(self, plan: int) -> None:
        if plan != self._plans:  # somebody has come since
            return
        self._advance()
        ended = [work for work in self._works if work.left <= _NOTHING_LEFT]
        self._works = [work for work in self._works if work.left > _NOTHING_LEFT]
        self._plan()
        for work in ended:
            work.done()


class _Work:
    def __init__(self, left: float, done: Action) -> None:
        self.left = left
        self.done = done


class Stage(Generic[T]):
    """
    A queue with ``places`` that each take what waits, up to ``batch`` of it.

    ``work(jobs, done)`` begins; the place is free once ``done`` is called.
    """

    def __init__(
        self, places: int, work: Callable[[list[T], Action], None], batch: int = 1,
    ) -> None:
        self._free = places
        self._work = work
        self._batch = batch
        self._queue: deque[T] = deque()

    def put(self, job: T) -> None:
        """Let ``job`` wait for a place."""
        self._queue.append(job)
        self._next()

    def _next(self) -> None:
        while self._free and self._queue:
            jobs = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            self._free -= 1
            self._work(jobs, self._done)

    def _done(self) -> None:
        self._free += 1
        self._next()
