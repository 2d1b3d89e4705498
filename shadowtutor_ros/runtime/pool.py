# SPDX-License-Identifier: Apache-2.0
"""Many tutors as one: each stream is taught by one of them, and moves on when that is lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
import logging
import threading
import time

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.runtime.harvest import Harvest
from shadowtutor_ros.runtime.job import OnLesson, OnProgress
from shadowtutor_ros.runtime.report import TutorReport, WorkerReport
from shadowtutor_ros.runtime.seat import Errand, Seat
from shadowtutor_ros.runtime.stream_states import StreamStates
from shadowtutor_ros.runtime.tutor import MAX_STREAMS
from shadowtutor_ros.runtime.worker import Worker, WorkerLost, Workers
from shadowtutor_ros.schedule.load import Wish
from shadowtutor_ros.schedule.placement import best_move, best_place
from shadowtutor_ros.schedule.scale import Scale
from shadowtutor_ros.schedule.turns import Refused, Turns
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

_LOG = logging.getLogger(__name__)
_PERIOD = 1.0  # seconds from one look at the workers to the next
_START_PERIOD = 0.1  # seconds, while the first one starts
_TRIES = 3  # workers that a key frame is sent to, one after the other lost
_FIRST_ANSWER = 60.0  # seconds for a first student


class NoWorker(Refused):
    """A pool has no worker that is ready to teach."""


@dataclass(frozen=True)
class PoolSettings:
    """
    From ``min_workers`` to ``max_workers``, by the load.

    One that says nothing for ``patience`` s is lost; until its first word it may take
    ``start_patience``.
    """

    min_workers: int = 1
    max_workers: int = 1
    patience: float = 10.0
    start_patience: float = 600.0


class Pool:
    """
    A Teaching over ``workers``, which end with it.

    A stream's first key frame goes to the worker with the least to do, and so do all that follow.
    When that worker is lost, leaves, or has far more to do than another, the stream moves: the
    next worker gets what ``states`` keeps of it, and if that is not what its robot runs has it
    handed up. A key frame that a lost worker had goes to another one. Who looks on sees no
    lessons of other processes.

    While none has been ready for ``patience`` s, one that ``stand_in`` makes teaches.
    """

    def __init__(
        self, workers: Workers, info: StudentInfo, teacher_name: str, settings: PoolSettings,
        max_streams: int = 0, idle_timeout: float = 600.0,
        stand_in: Callable[[str], Worker] | None = None, states: StreamStates | None = None,
    ) -> None:
        """
        Wait for the first worker to be ready; with an error the ``workers`` are closed.

        Raise ValueError, WorkerLost or what spawning raises.
        """
        self._workers = workers
        self._stand_in = stand_in
        self._harvest = Harvest(states)
        self._wishes: dict[str, Wish] = {}
        self._info = info
        self.teacher_name = teacher_name
        self._settings = settings
        self.max_streams = max_streams or MAX_STREAMS
        self.bytes_per_stream = 0
        self._turns: Turns[None] = Turns(self.max_streams, idle_timeout)
        self._lock = threading.RLock()
        self._distill: DistillSettings | None = None
        self._seats: list[Seat] = []
        self._spawned = 0
        self._taught = 0.0
        self._looked = time.monotonic()
        self._closed = threading.Event()
        self._ready_at = self._looked
        self._thread = threading.Thread(target=self._watch, name='pool', daemon=True)
        try:
            self._scale = Scale(settings.min_workers, settings.max_workers)
            self._begin()
        except BaseException:
            self._end_workers()
            raise
        self._thread.start()

    @property
    def info(self) -> StudentInfo:
        return self._info

    @property
    def streams(self) -> tuple[str, ...]:
        with self._lock:
            return self._turns.streams

    def change(self, distill: DistillSettings) -> None:
        with self._lock:
            self._distill = distill
            for seat in self._seats:
                seat.worker.change(distill)

    def admit(self, stream_id: str, robot: int = 0) -> None:
        with self._lock:
            loser = self._turns.admit(stream_id, robot, time.monotonic()).loser
            if loser is not None:
                self._wishes.pop(loser, None)
                if (seat := self._seat_of(loser)) is not None:
                    seat.let_go(loser)

    def first_student(self, stream_id: str, robot: int = 0) -> StudentUpdate:
        if robot or stream_id not in self.streams:
            self.admit(stream_id, robot)
        for _ in range(_TRIES):
            seat = self._place(stream_id)
            try:
                seed = self._harvest.seed_for(seat, stream_id)
                return seat.worker.first_student(stream_id, robot, seed).result(_FIRST_ANSWER)
            except WorkerLost as error:
                self._lose(seat, error)
        raise NoWorker(f'{_TRIES} workers were lost, one after the other')

    def submit(
        self, key_frame: KeyFrame, on_progress: OnProgress | None = None,
        on_lesson: OnLesson | None = None,
    ) -> Future[StudentUpdate]:
        self.admit(key_frame.stream_id, key_frame.robot)
        with self._lock:
            self._wishes[key_frame.stream_id] = Wish(key_frame.frame_period, key_frame.stride)
        errand = Errand(key_frame, Future())
        errand.answer.set_running_or_notify_cancel()
        self._send(errand)
        return errand.answer

    def show_again(self, on_lesson: OnLesson) -> None:
        """Show nothing: lessons are in other processes."""

    def report(self) -> TutorReport:
        now = time.monotonic()
        with self._lock:
            seats = list(self._seats)
            streams = tuple(
                replace(stream, worker=seat.worker.name, idle_seconds=max(
                    0.0, self._turns.idle(stream.stream_id, now)))
                for seat in seats for stream in seat.report.streams
                if stream.stream_id in seat.streams)
            return TutorReport(
                sum(seat.report.queued for seat in seats), self._taught, streams,
                min((seat.report.steps_share for seat in seats), default=1.0),
                tuple(WorkerReport(seat.worker.name, seat.where, seat.ready, seat.report.queued,
                                   len(seat.streams), seat.load) for seat in seats))

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._harvest.gather_all(self._seats)
        self._end_workers()

    # -- where a stream is taught --------------------------------------------------------------

    def _place(self, stream_id: str) -> Seat:
        """Return the seat of a stream, given now if it has none; raise NoWorker."""
        with self._lock:
            seat = self._seat_of(stream_id)
            if seat is None:
                ready = self._ready_seats()
                if not ready:
                    raise NoWorker('no worker is ready at the moment')
                seat = ready[best_place([seat.place(self._wishes) for seat in ready])]
                seat.take(stream_id)
            return seat

    def _seat_of(self, stream_id: str) -> Seat | None:
        return next((seat for seat in self._seats if stream_id in seat.streams), None)

    def _send(self, errand: Errand) -> None:
        try:
            with self._lock:
                seat = self._place(errand.key_frame.stream_id)
                errand.seat, errand.tries = seat, errand.tries + 1
                seat.errands.add(errand)
            future = seat.worker.submit(
                errand.key_frame, self._harvest.seed_for(seat, errand.key_frame.stream_id))
        except Exception as error:
            with self._lock:
                if errand.seat is not None:
                    errand.seat.errands.discard(errand)
            errand.answer.set_exception(error)
            return
        future.add_done_callback(partial(self._on_answer, errand, seat))

    def _on_answer(self, errand: Errand, seat: Seat, future: Future[StudentUpdate]) -> None:
        with self._lock:
            if errand.seat is not seat:  # it was taken for lost, and another one has it
                return
            error = future.exception()
            if isinstance(error, WorkerLost):
                self._lose(seat, error)
                return
            errand.seat = None
            seat.errands.discard(errand)
            if errand.key_frame.stream_id in self._turns.streams:  # it may have lost its place
                self._turns.done(errand.key_frame.stream_id, time.monotonic(), error is None)
        if error is not None:
            errand.answer.set_exception(error)
        else:
            errand.answer.set_result(future.result())

    # -- workers come and go -------------------------------------------------------------------

    def _begin(self) -> None:
        """Spawn the least workers and wait for one of them."""
        for _ in range(self._settings.min_workers):
            self._add(self._workers.spawn)
        while not any(seat.ready for seat in self._seats):
            time.sleep(_START_PERIOD)
            for seat in self._seats:
                self._hear(seat, time.monotonic(), give_up=True)

    def _end_workers(self) -> None:
        with self._lock:
            seats, self._seats = self._seats, []
        for seat in seats:
            seat.worker.close()
        self._workers.close()
        self._harvest.close()

    def _add(self, spawn: Callable[[str], Worker], stands_in: bool = False) -> None:
        self._spawned += 1
        worker = spawn(f'worker{self._spawned}')
        with self._lock:
            if self._distill is not None:
                worker.change(self._distill)
            self._seats.append(Seat(worker, time.monotonic(), stands_in=stands_in))

    def _lose(self, seat: Seat, error: Exception) -> None:
        """Do without a worker from now on; others get what it had."""
        with self._lock:
            if seat not in self._seats:
                return
            _LOG.warning('%s is lost, its %d streams go to others: %s',
                         seat.worker.name, len(seat.streams), error)
            errands = self._leave(seat)
        for errand in errands:
            if errand.tries < _TRIES and not self._closed.is_set():
                self._send(errand)
            else:
                errand.answer.set_exception(error)

    def _leave(self, seat: Seat) -> list[Errand]:
        """Take a worker's seat away; return what it had to do."""
        self._seats.remove(seat)
        errands = list(seat.errands)
        for errand in errands:
            errand.seat = None
        seat.worker.close()
        return errands

    def _watch(self) -> None:
        while not self._closed.wait(_PERIOD):
            try:
                self._look(time.monotonic())
            except Exception as error:  # the next look may be better
                _LOG.warning('pool of workers: %s: %s', type(error).__name__, error)

    def _look(self, now: float) -> None:
        """Hear all workers, let some come or go, and even out who has how many streams."""
        for seat in list(self._seats):
            self._hear(seat, now)
            self._harvest.gather(seat)
        with self._lock:
            elapsed, self._looked = now - self._looked, now
            busy = sum(seat.load for seat in self._seats)
            self._taught += elapsed * busy / max(1, len(self._seats))
            overloaded = any(seat.report.steps_share < 1 or any(
                stream.stride_floor for stream in seat.report.streams
                if stream.stream_id in seat.streams) for seat in self._seats)
            self._stand_down()
            own = [seat for seat in self._seats if not seat.stands_in]
            change = self._scale.change(now, len(own), overloaded, busy)
            if change < 0:
                self._dismiss()
            self._even_out()
            if any(seat.ready for seat in self._seats):
                self._ready_at = now
        # Without the lock: it may take a while.
        if self._stand_in is not None and now > self._ready_at + self._settings.patience:
            _LOG.warning('no worker is ready: this process teaches')
            self._ready_at = now
            self._add(self._stand_in, stands_in=True)
        for _ in range(change):
            self._add(self._workers.spawn)

    def _stand_down(self) -> None:
        """Let whoever stands in go once another worker is ready, between two key frames."""
        if any(seat.ready and not seat.stands_in for seat in self._seats):
            for seat in [s for s in self._seats if s.stands_in and not s.errands]:
                _LOG.warning('workers are ready again: this process teaches no longer')
                self._leave(seat)

    def _hear(self, seat: Seat, now: float, give_up: bool = False) -> None:
        """Take what a worker says of itself; raise why it is lost if that is to ``give_up``."""
        if seat.asked is None:
            seat.asked = seat.worker.report()
        if seat.asked.done():
            asked, seat.asked = seat.asked, None
            try:
                where, report = asked.result()
            except Exception as error:
                if give_up:
                    raise
                self._lose(seat, error)
                return
            seat.hear(where, report, now)
            return
        patience = self._settings.patience if seat.ready else self._settings.start_patience
        if now > seat.heard + patience:
            silence = WorkerLost(f'{seat.worker.name}: no word for {patience:g} s')
            if give_up:
                raise silence
            self._lose(seat, silence)

    def _dismiss(self) -> None:
        """Let a worker go that has nothing to do at the moment, the one with fewest streams."""
        idle = [seat for seat in self._seats if not seat.errands and not seat.stands_in]
        if idle:
            seat = min(idle, key=lambda seat: (seat.ready, len(seat.streams)))
            _LOG.info('%s is not needed any more', seat.worker.name)
            self._leave(seat)

    def _even_out(self) -> None:
        """Let one stream without a key frame under way change its worker, if that is worth it."""
        ready = self._ready_seats()
        busy = {errand.key_frame.stream_id for seat in ready for errand in seat.errands}
        move = best_move([seat.place(self._wishes) for seat in ready],
                         {stream_id for seat in ready for stream_id in seat.streams} - busy)
        if move is not None:
            ready[move.source].let_go(move.stream_id)
            ready[move.target].take(move.stream_id)

    def _ready_seats(self) -> list[Seat]:
        return [seat for seat in self._seats if seat.ready]
