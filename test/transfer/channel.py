# SPDX-License-Identifier: Apache-2.0
"""A simulated link with rate, queue, delay, loss, reordering and duplication; a discrete clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
import heapq
import itertools
import math
import random

from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.transfer.pieces import Piece, Report
from shadowtutor_ros.transfer.receiver import Receiver
from shadowtutor_ros.transfer.sender import Sender

HEADERS = 106  # bytes around a piece on Ethernet


@dataclass
class Direction:
    """
    One way of a link: ``rate`` in bytes/s, ``delay`` in seconds, ``queue`` in packets.

    ``loss``, ``duplicates`` and ``reorder`` are probabilities; what is reordered comes up to
    ``lag`` seconds later. Nothing sent within ``outages`` (from, to) arrives. With ``bursts``
    (of, every) so many packets in a row are lost of every so many.
    """

    rate: float = math.inf
    delay: float = 0.0025
    queue: float = math.inf
    loss: float = 0.0
    duplicates: float = 0.0
    reorder: float = 0.0
    lag: float = 0.0
    outages: tuple[tuple[float, float], ...] = ()
    bursts: tuple[int, int] = (0, 1)
    dropped_by_queue: int = 0
    _passed: int = 0
    _free_at: float = 0.0
    _leaving: deque[float] = field(default_factory=deque)  # when what is queued has left

    def hold(self, until: float) -> None:
        """Let everything wait in the queue until then."""
        self._free_at = max(self._free_at, until)

    def arrivals(self, now: float, size: int, rng: random.Random) -> list[float]:
        """Return when a packet of ``size`` bytes sent now arrives: never, once or twice."""
        while self._leaving and self._leaving[0] <= now:
            self._leaving.popleft()
        if len(self._leaving) >= self.queue:
            self.dropped_by_queue += 1
            return []
        self._free_at = max(now, self._free_at) + size / self.rate
        self._leaving.append(self._free_at)
        self._passed += 1
        in_burst = self._passed % self.bursts[1] < self.bursts[0]
        if rng.random() < self.loss or in_burst or any(a <= now < b for a, b in self.outages):
            return []
        copies = 1 + (rng.random() < self.duplicates)
        return [self._free_at + self.delay
                + (rng.random() * self.lag if rng.random() < self.reorder else 0.0)
                for _ in range(copies)]


@dataclass
class Outcome:
    """What one transfer came to; times in seconds from its start, inf: never."""

    payload: bytes | None = None
    received_at: float = math.inf
    done_at: float = math.inf
    sent: list[tuple[float, Piece]] = field(default_factory=list)
    reports: int = 0

    @property
    def repeats(self) -> int:
        """Pieces sent more than once, each time counted."""
        return len(self.sent) - len({piece.index for _, piece in self.sent})


class Simulation:
    """Two ends and the link between them; transfers run one after the other on one clock."""

    def __init__(self, there: Direction, back: Direction, seed: int = 0) -> None:
        self.there = there
        self.back = back
        self.path = PathEstimate()
        self.receiver = Receiver(64 << 20)
        self.now = 0.0
        self._rng = random.Random(seed)
        self._ids = itertools.count(1)

    def run(self, payload: bytes, limit: float = 60.0) -> Outcome:
        """Send a payload; end when the sender is done or after ``limit`` seconds."""
        start = self.now
        sender = Sender(payload, next(self._ids), self.path, start)
        outcome = Outcome()
        events: list[tuple[float, int, Piece | Report]] = []
        count = itertools.count()

        def put(way: Direction, size: int, message: Piece | Report) -> None:
            for at in way.arrivals(self.now, size, self._rng):
                heapq.heappush(events, (at, next(count), message))

        def send() -> None:
            for piece in sender.pieces(self.now):
                outcome.sent.append((self.now - start, piece))
                put(self.there, HEADERS + len(piece.data), piece)

        send()
        while not sender.done and self.now < start + limit:
            if not events or sender.wake_at <= events[0][0]:
                self.now = max(self.now, sender.wake_at)
                send()
                continue
            self.now, _, message = heapq.heappop(events)
            if isinstance(message, Report):
                sender.on_report(message, self.now)
                send()
                continue
            report = self.receiver.on_piece(message)
            if report is not None:
                outcome.reports += 1
                put(self.back, HEADERS + len(report.received), report)
            received = self.receiver.take(sender.transfer)
            if received is not None:
                outcome.payload, outcome.received_at = received, self.now - start
        if sender.done:
            outcome.done_at = self.now - start
        return outcome
