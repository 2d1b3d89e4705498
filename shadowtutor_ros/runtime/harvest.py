# SPDX-License-Identifier: Apache-2.0
"""What streams learn at a pool's workers is brought in, and taken along to the next worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, TimeoutError as FutureTimeout
from contextlib import suppress
import time

from shadowtutor_ros.runtime.seat import Seat
from shadowtutor_ros.runtime.stream_states import StreamStates
from shadowtutor_ros.runtime.worker import WorkerLost
from shadowtutor_ros.snapshot import Snapshot

_AT_ONCE = 4  # streams of a worker, of some 10 MB each
_ALL = 1 << 10
_LAST_SECONDS = 5.0  # for all workers together, when the pool ends


class Harvest:
    """Keeps it in ``states``, None: nothing is kept."""

    def __init__(self, states: StreamStates | None) -> None:
        self._states = states

    def seed_for(self, seat: Seat, stream_id: str) -> Snapshot | None:
        """Return what is kept of a stream, for a worker that was not asked about it yet."""
        if self._states is None or stream_id not in seat.strangers:
            return None
        seat.strangers.discard(stream_id)
        return self._states.get(stream_id)

    def gather(self, seat: Seat) -> None:
        """Take what has come of a worker, and ask it for more; returns at once."""
        if self._states is None or not seat.ready:
            return
        if seat.gathered is None:
            seat.gathered = seat.worker.learnt(_AT_ONCE)
        if seat.gathered.done():
            gathered, seat.gathered = seat.gathered, None
            self._keep(seat, gathered, 0.0)

    def gather_all(self, seats: Iterable[Seat]) -> None:
        """Take all that there is, of workers that answer soon."""
        if self._states is None:
            return
        end = time.monotonic() + _LAST_SECONDS
        answers = [(seat, answer) for seat in seats if seat.ready
                   for answer in (seat.gathered, seat.worker.learnt(_ALL)) if answer is not None]
        for seat, answer in answers:
            self._keep(seat, answer, max(0.0, end - time.monotonic()))

    def close(self) -> None:
        """Keep what waits, and let others use the place."""
        if self._states is not None:
            self._states.close()

    def _keep(
        self, seat: Seat, answer: Future[Mapping[str, Snapshot]], seconds: float,
    ) -> None:
        assert self._states is not None
        with suppress(WorkerLost, FutureTimeout):  # whoever asks for its report says so
            for stream_id, snapshot in answer.result(seconds).items():
                if stream_id in seat.streams:  # else another worker may know it better by now
                    self._states.put(stream_id, snapshot)
