# SPDX-License-Identifier: Apache-2.0
"""The sending end: a window of pieces, repeats of what is lost, a probe when all is silent."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import cycle, islice
import math

from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.transfer.pieces import Piece, PIECE_BYTES, piece_count, piece_length, Report

WINDOW = 32  # pieces of one packet: less than the 64 KB that a slow link's queue often holds
REPORT_EVERY = 8  # pieces
REORDERING = 3  # a piece is lost when one sent so many later has arrived without it
MAX_BACKOFF = 0.5  # seconds between probes, unless the path itself is slower
PATIENCE = 120.0  # seconds without a report: longer than outages, shorter than a robot's absence
REMEMBERED = 256  # pieces whose time is kept: an answer to an older one is no round trip
PROBES = (2, 4, 8, 8)  # pieces: a burst of losses is over soon; then the link is gone, and 2 do


class Sender:
    """
    Sends one payload. The owner puts ``pieces(now)`` on the network at the start, after every
    ``on_report`` and when ``wake_at`` has come.

    The pieces are as long as the ``path`` allows when it begins; at most ``window`` of those of
    one packet, or as many bytes, are under way. After PATIENCE without a report the sender has
    ``given_up``: it lets go of the payload and sends nothing any more. All times are seconds of
    one monotonic clock.
    """

    def __init__(
        self, payload: bytes, transfer: int, path: PathEstimate, now: float, window: int = WINDOW,
    ) -> None:
        self.transfer = transfer
        self._payload = payload
        self._length = path.piece_bytes
        self._count = piece_count(len(payload), self._length)
        self._path = path
        self._window = max(2, window * PIECE_BYTES // self._length)
        self._unsent = 0  # index of the first piece that was never sent
        self._in_flight: dict[int, int] = {}  # index: its last order; oldest first
        self._lost: dict[int, int] = {}
        self._order = 0  # of the last piece sent
        self._sent_at: deque[float] = deque(maxlen=REMEMBERED)  # the last one's time is last
        self._newest = 0  # highest order answered
        self._probe = 0  # order of the last probe's first piece
        self._probes = 0  # since the last report
        self._backoff = 0.0
        self._last_event = now
        self._last_progress = now
        self._last_report = now
        self.given_up = False

    @property
    def done(self) -> bool:
        """Say whether the receiver has everything."""
        return self._unsent == self._count and not self._in_flight and not self._lost

    @property
    def wake_at(self) -> float:
        """When to call ``pieces`` again if no report comes; inf: never."""
        if self.done or self.given_up:
            return math.inf
        if not self._in_flight:
            return self._last_event
        return min(self._last_event + max(self._path.timeout, self._backoff),
                   self._last_report + PATIENCE)

    @property
    def has_more(self) -> bool:
        """Say whether there is something to send whatever the time."""
        unsent = self._unsent < self._count and self._room > 0
        return not self.given_up and (bool(self._lost) or unsent)

    @property
    def _room(self) -> int:
        return self._window - len(self._in_flight) - len(self._lost)

    def pieces(self, now: float) -> list[Piece]:
        """Return what is to be put on the network now, in this order."""
        if self.done or self.given_up:
            return []
        if now >= self._last_report + PATIENCE:
            self._give_up()
            return []
        again = list(self._lost)
        end = min(self._count, self._unsent + self._room)
        new = range(self._unsent, end)
        probing = not again and not new and now >= self.wake_at
        if probing:
            again = self._next_probe()
        self._unsent = end
        self._path.on_sent(len(again) + len(new), len(again))
        return self._send([*again, *new], now, probing)

    def on_report(self, report: Report, now: float) -> None:
        """Take a report; a late one, of another transfer or of what was never sent is ignored."""
        if self.done or self.given_up:
            return
        if (report.transfer != self.transfer or not 0 < report.newest <= self._order
                or not 0 <= report.first_missing <= self._count):
            return
        self._last_event = self._last_report = now
        self._backoff = 0.0
        self._probes = 0
        if report.newest > self._newest:
            self._newest = report.newest
            sent_since = self._order - report.newest
            if sent_since < len(self._sent_at):
                self._path.on_round_trip(now - self._sent_at[-1 - sent_since])
            if self._was_forgotten(report):
                self._start_again()
        self._take_received(report, now)
        self._judge(report)

    def _give_up(self) -> None:
        self.given_up = True
        self._payload = b''

    def _next_probe(self) -> list[int]:
        """Return the oldest pieces under way, as many as ``PROBES`` says."""
        self._probe = self._order + 1
        self._backoff = min(MAX_BACKOFF, 2 * max(self._path.timeout, self._backoff))
        size = PROBES[self._probes] if self._probes < len(PROBES) else PROBES[0]
        self._probes += 1
        # In turn again if there are fewer: one of them and one of the reports must come through.
        return list(islice(cycle(self._in_flight), size))

    def _send(self, indices: Sequence[int], now: float, all_ask: bool) -> list[Piece]:
        batch = []
        for place, index in enumerate(indices, 1):
            self._order = order = self._order + 1
            self._sent_at.append(now)
            self._lost.pop(index, None)
            self._in_flight.pop(index, None)
            self._in_flight[index] = order
            start = index * self._length
            batch.append(Piece(
                self.transfer, len(self._payload), index, order,
                all_ask or place == len(indices) or self._asks(order),
                self._payload[start:start + self._length], self._length))
        if batch:
            self._last_event = now
        return batch

    def _asks(self, order: int) -> bool:
        # The first ones tell early how slow a link is, before the timer runs out.
        early = self._length == PIECE_BYTES and order in (1, 2, 4)
        return early or order % REPORT_EVERY == 0

    def _was_forgotten(self, report: Report) -> bool:
        """Say whether the newest report misses what an older one had."""
        index = report.first_missing
        return index < self._unsent and index not in self._in_flight and index not in self._lost

    def _start_again(self) -> None:
        self._path.on_sent(0, repeated=self._unsent)
        self._unsent = 0
        self._in_flight.clear()
        self._lost.clear()

    def _take_received(self, report: Report, now: float) -> None:
        size = 0
        for waiting in self._in_flight, self._lost:
            for index in [index for index in waiting if report.has(index)]:
                del waiting[index]
                size += piece_length(len(self._payload), index, self._length)
        if size:
            self._path.on_acknowledged(size, now - self._last_progress)
            self._last_progress = now

    def _judge(self, report: Report) -> None:
        """Find what the report should have if it were not lost."""
        # At the end nothing new follows that could overtake a piece: do not wait for it.
        overtaken_by = REORDERING if self._unsent < self._count else 1
        lost_through = report.newest - overtaken_by
        if report.newest >= self._probe:
            # What was sent before the probe had a whole timeout's lead.
            lost_through = max(lost_through, self._probe - 1)
        for index, order in list(self._in_flight.items()):
            if order > lost_through:
                break
            self._lost[index] = self._in_flight.pop(index)
