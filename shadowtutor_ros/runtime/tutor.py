# SPDX-License-Identifier: Apache-2.0
"""Algorithm 3: the tutor labels key frames and teaches one student per stream."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
import logging
import math
import threading
import time
import traceback

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.labeller import Labeller, StampedFrame
from shadowtutor_ros.runtime.stream import FirstStudent, Running, Stream
from shadowtutor_ros.schedule.turns import OWNER_SILENCE, Superseded, Turns
from shadowtutor_ros.teacher.protocol import Teacher
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.key_frame import decode_frame, MAX_PIXELS
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

_LOG = logging.getLogger(__name__)
_LOOKED_AT = 8  # lessons at most that wait to be shown; more are not shown


class Phase(Enum):
    """What a tutor does with a key frame whose turn it is."""

    LABELLING = 'labelling'
    TRAINING = 'training'


@dataclass(frozen=True)
class Progress:
    """One step of the tutor's work; metric (0-1) and loss are NaN while unknown."""

    phase: Phase
    step: int = 0
    metric: float = math.nan
    loss: float = math.nan


OnProgress = Callable[[Progress], None]

# Of a lesson: the update, the HxWx3 BGR frame, the teacher's and the student's HxW class ids.
OnLesson = Callable[[StudentUpdate, Frame, Mask, Mask], None]


@dataclass(frozen=True)
class TutorSettings:
    """
    ``weights`` on the wire; a stream idle for ``idle_timeout`` s may go.

    A key frame of more than ``max_pixels`` is refused before it is decoded.
    """

    distill: DistillSettings = field(default_factory=DistillSettings)
    weights: WeightSettings = field(default_factory=WeightSettings)
    max_streams: int = 8
    idle_timeout: float = 600.0
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class StreamReport:
    """A stream with a session; metrics of its last key frame, 0-1, NaN before the first."""

    stream_id: str
    version: int
    key_frames: int
    initial_metric: float
    metric: float
    steps: int
    idle_seconds: float


@dataclass(frozen=True)
class TutorReport:
    """Key frames ``queued`` now, and seconds spent teaching since the tutor was made."""

    queued: int
    teaching_seconds: float
    streams: tuple[StreamReport, ...]


@dataclass(eq=False)
class _Job:
    """A key frame that was taken, and who is told of it."""

    key_frame: KeyFrame
    on_progress: OnProgress
    on_lesson: OnLesson | None
    arrived: float
    future: Future[StudentUpdate] = field(default_factory=Future)


class Tutor:
    """
    A teacher and a stream per robot's camera.

    Every method may be called from any thread and none but ``distill`` waits for a lesson.
    Lessons are taught one at a time, in a thread of the tutor's own; streams take turns.
    """

    def __init__(self, teacher: Teacher, first_student: Student, settings: TutorSettings) -> None:
        """Raise NonFiniteUpdate when the first student cannot be sent."""
        self.settings = settings
        self._labeller = Labeller(teacher)
        self._first = FirstStudent(first_student, settings.weights)
        self._new_stream('')  # torch loads its optimisers: now, not while a robot waits
        self._streams: dict[str, Stream] = {}
        self._turns: Turns[_Job] = Turns(settings.max_streams, settings.idle_timeout)
        self._lock = threading.Lock()  # of turns and streams; never held for long
        self._teacher_thread = ThreadPoolExecutor(1, 'teach')
        self._show_thread = ThreadPoolExecutor(1, 'show')
        self._places_to_show = threading.Semaphore(_LOOKED_AT)
        self._teaching_seconds = 0.0
        self._teaching_since: float | None = None

    @property
    def info(self) -> StudentInfo:
        """Classes and normalisation of every student of this tutor."""
        return self._first.student.info

    @property
    def streams(self) -> tuple[str, ...]:
        """Ids of the streams that have a place."""
        with self._lock:
            return self._turns.streams

    def change(self, distill: DistillSettings) -> None:
        """Teach all streams by other settings from their next key frame on."""
        with self._lock:
            self.settings = replace(self.settings, distill=distill)
            for stream in self._streams.values():
                stream.change(distill)

    def admit(self, stream_id: str, robot: int = 0) -> None:
        """Give the stream a place; raise Refused if it cannot have one or is another robot's."""
        with self._lock:
            self._admit(stream_id, robot)

    def first_student(self, stream_id: str, robot: int = 0) -> StudentUpdate:
        """
        Return the stream's whole student as its robot was given it last, at once.

        Raise Refused.
        """
        self.admit(stream_id, robot)
        return self._stream(stream_id).whole()

    def submit(
        self, key_frame: KeyFrame, on_progress: OnProgress | None = None,
        on_lesson: OnLesson | None = None,
    ) -> Future[StudentUpdate]:
        """
        Take a key frame and return the answer to come: what its robot needs.

        It replaces an older one of its stream that waits, which is Superseded. The future may be
        cancelled until its turn comes; after that whatever ``on_progress`` raises ends the work.
        It fails with BadLabelling, a TeacherError or a WireError. ``on_lesson`` is told after the
        answer, from a thread for that, unless it is behind. Raise Refused.
        """
        job = _Job(key_frame, on_progress or _nothing, on_lesson, time.monotonic())
        with self._lock:
            self._admit(key_frame.stream_id, key_frame.robot)
            older = self._turns.put(key_frame.stream_id, job)
        if older is not None and older.future.set_running_or_notify_cancel():
            older.future.set_exception(Superseded(
                f'key frame {older.key_frame.sequence} of {key_frame.stream_id!r}: '
                'a newer one came before its turn'))
        self._teacher_thread.submit(self._next_turn)
        return job.future

    def distill(
        self, key_frame: KeyFrame, on_progress: OnProgress | None = None,
        on_lesson: OnLesson | None = None,
    ) -> StudentUpdate:
        """Submit a key frame and wait for the answer; raise what ``submit`` says."""
        return self.submit(key_frame, on_progress, on_lesson).result()

    def report(self) -> TutorReport:
        """Return what the tutor does at the moment."""
        now = time.monotonic()
        with self._lock:
            since = self._teaching_since
            return TutorReport(
                self._turns.waiting,
                self._teaching_seconds + (0.0 if since is None else now - since),
                tuple(StreamReport(
                    stream_id, stream.version, stream.key_frames, stream.lesson.initial_metric,
                    stream.lesson.metric, stream.lesson.steps, self._turns.idle(stream_id, now))
                    for stream_id, stream in self._streams.items()))

    def _admit(self, stream_id: str, robot: int) -> None:
        admission = self._turns.admit(stream_id, robot, time.monotonic())
        if admission.loser is not None:
            self._streams.pop(admission.loser, None)
        if admission.changed_hands:
            _LOG.warning('stream %r goes to another robot: its own was silent for %g s. If both '
                         'run, give each a stream_id of its own', stream_id, OWNER_SILENCE)

    def _stream(self, stream_id: str) -> Stream:
        """Return the stream, made without the lock: it takes a while."""
        with self._lock:
            if stream_id in self._streams:
                return self._streams[stream_id]
        fresh = self._new_stream(stream_id)
        with self._lock:
            if stream_id not in self._turns.streams:  # it lost its place meanwhile
                return fresh
            return self._streams.setdefault(stream_id, fresh)

    def _new_stream(self, stream_id: str) -> Stream:
        return Stream(stream_id, self._first, self.settings.distill, self.settings.weights)

    def _next_turn(self) -> None:
        """Teach whoever is next; nobody, if key frames were superseded meanwhile."""
        with self._lock:
            turn = self._turns.take()
            if turn is None:
                return
            stream_id, job = turn
            self._teaching_since = started = time.monotonic()
        try:
            if job.future.set_running_or_notify_cancel():
                self._answer(job, started)
        finally:
            with self._lock:
                now = time.monotonic()
                self._teaching_seconds += now - started
                self._teaching_since = None
                self._turns.done(stream_id, now)

    def _answer(self, job: _Job, started: float) -> None:
        try:
            stream = self._stream(job.key_frame.stream_id)
            update, frame, label = self._lesson(stream, job, started)
        except BaseException as error:  # it is the asker's, whatever it is
            # What it was raised in would keep the frame and the device's memory.
            traceback.clear_frames(error.__traceback__)
            job.future.set_exception(error)
            return
        job.future.set_result(update)
        if job.on_lesson is not None and self._places_to_show.acquire(blocking=False):
            try:
                mask = stream.mask(frame)  # before the next lesson changes the student
            except Exception as error:
                self._places_to_show.release()
                _LOG.warning('lesson not shown: %s', error)
                return
            self._show_thread.submit(
                self._show, partial(job.on_lesson, update, frame, label, mask))

    def _lesson(
        self, stream: Stream, job: _Job, started: float,
    ) -> tuple[StudentUpdate, Frame, Mask]:
        key_frame = job.key_frame
        job.on_progress(Progress(Phase.LABELLING))
        frame = decode_frame(key_frame.encoded, self.settings.max_pixels)
        labelling, = self._labeller.label([StampedFrame(frame, key_frame.stamp * 1e-9)])
        if isinstance(labelling, Exception):
            raise labelling
        labelled = time.monotonic()
        job.on_progress(Progress(Phase.TRAINING))
        update = stream.teach(
            frame, labelling, Running(key_frame.session_id, key_frame.student_version),
            lambda step, metric, loss: job.on_progress(
                Progress(Phase.TRAINING, step, metric, loss)))
        update = replace(
            update, sequence=key_frame.sequence, stamp=key_frame.stamp,
            frame_id=key_frame.frame_id, queue_time=started - job.arrived,
            teacher_time=labelled - started)
        return update, frame, labelling.class_ids

    def _show(self, show: Callable[[], None]) -> None:
        try:
            show()
        finally:
            self._places_to_show.release()


def _nothing(progress: Progress) -> None:
    pass
