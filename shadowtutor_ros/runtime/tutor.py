# SPDX-License-Identifier: Apache-2.0
"""Algorithm 3: the tutor labels key frames and teaches one student per stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
import math
import secrets
import threading
import time

from torch import Tensor

from shadowtutor_ros.distill.session import Session
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Lesson
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Frame, Mask, Student, StudentInfo
from shadowtutor_ros.teacher.protocol import Teacher
from shadowtutor_ros.wire.delta import DELTA
from shadowtutor_ros.wire.encoder import Encoder, GoodEnough, WeightSettings
from shadowtutor_ros.wire.key_frame import decode_frame
from shadowtutor_ros.wire.update import KeyFrame, NO_SESSION, StudentUpdate

MAX_STREAM_ID = 128
_SIGN_PERIOD = 0.5  # seconds: a robot gives up after a few without any
_TOLERANCE = 0.01  # mIoU on the key frame that a lesson may lose by being sent


class TutorError(ShadowTutorError):
    """The tutor cannot serve a request."""


class TooManyStreams(TutorError):
    """Every place is taken by a stream that was active lately."""


class BadStreamId(TutorError):
    """A stream id is empty or too long."""


class Superseded(TutorError):
    """A newer key frame of the same stream came while this one was queued."""


class BadLabel(TutorError):
    """The teacher's answer does not fit the frame or the student's classes."""


class Phase(Enum):
    """Where a key frame is at the tutor."""

    QUEUED = 'queued'
    LABELLING = 'labelling'
    TRAINING = 'training'


@dataclass(frozen=True)
class Progress:
    """One step of the tutor's work; metric (mIoU 0-1) and loss are NaN while unknown."""

    phase: Phase
    step: int = 0
    metric: float = math.nan
    loss: float = math.nan


OnProgress = Callable[[Progress], None]

# Of a lesson: the update, the HxWx3 BGR frame, the teacher's HxW class ids, and a function that
# returns the student's.
OnLesson = Callable[[StudentUpdate, Frame, Mask, Callable[[], Mask]], None]


@dataclass(frozen=True)
class TutorSettings:
    """``weights`` on the wire; a stream idle for ``idle_timeout`` s may go."""

    distill: DistillSettings = field(default_factory=DistillSettings)
    weights: WeightSettings = field(default_factory=WeightSettings)
    max_streams: int = 8
    idle_timeout: float = 600.0


@dataclass(frozen=True)
class StreamReport:
    """A stream with a session; metrics of its last key frame, mIoU 0-1, NaN before the first."""

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


@dataclass
class _Stream:
    session: Session
    encoder: Encoder
    last_used: float
    key_frames: int = 0
    lesson: Lesson = field(default_factory=lambda: Lesson(FULL, math.nan, math.nan, 0))


class Tutor:
    """
    A teacher and a session per stream.

    Every method may be called from any thread; teaching is done one key frame at a time.
    """

    def __init__(self, teacher: Teacher, first_student: Student, settings: TutorSettings) -> None:
        self.settings = settings
        self._teacher = teacher
        self._first_student = first_student
        self._streams: dict[str, _Stream] = {}
        self._newest: dict[str, KeyFrame] = {}
        self._work = threading.Lock()
        self._lists = threading.Lock()  # of streams and of what is queued; never held for long
        self._teaching_seconds = 0.0
        self._teaching_since: float | None = None

    @property
    def info(self) -> StudentInfo:
        """Classes and normalisation of every student of this tutor."""
        return self._first_student.info

    @property
    def streams(self) -> tuple[str, ...]:
        """Ids of the streams that have a session."""
        return tuple(self._streams)

    def change(self, distill: DistillSettings) -> None:
        """Teach all streams by other settings from their next key frame on."""
        self.settings = replace(self.settings, distill=distill)
        for stream in list(self._streams.values()):
            stream.session.change(distill)

    def open(self, stream_id: str) -> None:
        """Open the stream's session where there is none; raise TooManyStreams or BadStreamId."""
        self._stream(stream_id)

    def first_student(self, stream_id: str) -> StudentUpdate:
        """
        Return the stream's whole student, opening its session where there is none.

        Raise TooManyStreams or BadStreamId.
        """
        with self._work:
            stream = self._stream(stream_id)
            if stream.session.version:
                stream.session.renew()
            return self._encode(stream, FULL, None, stream_id)

    def report(self) -> TutorReport:
        """Return what the tutor does at the moment; never waits for the teaching."""
        now = time.monotonic()
        since = self._teaching_since
        return TutorReport(
            len(self._newest), self._teaching_seconds + (0.0 if since is None else now - since),
            tuple(StreamReport(
                stream_id, stream.session.version, stream.key_frames,
                stream.lesson.initial_metric, stream.lesson.metric, stream.lesson.steps,
                now - stream.last_used) for stream_id, stream in list(self._streams.items())))

    def distill(
        self, key_frame: KeyFrame, on_progress: OnProgress | None = None,
        on_lesson: OnLesson | None = None,
    ) -> StudentUpdate:
        """
        Label one key frame, teach the stream's student and return what the robot needs.

        ``on_lesson`` is for those who look on; it must not raise. Raise TutorError, TeacherError
        or WireError; whatever ``on_progress`` raises ends the work too. The session then keeps
        the best weights found so far.
        """
        report = on_progress or (lambda progress: None)
        arrived = time.monotonic()
        with self._lists:
            self._newest[key_frame.stream_id] = key_frame
        try:
            with self._turn(report):
                if self._newest.get(key_frame.stream_id) is not key_frame:
                    raise Superseded(
                        f'key frame {key_frame.sequence} of {key_frame.stream_id!r}: '
                        'a newer one came before its turn')
                self._dequeue(key_frame)
                return self._teach(key_frame, arrived, report, on_lesson)
        finally:
            self._dequeue(key_frame)

    @contextmanager
    def _turn(self, report: OnProgress) -> Iterator[None]:
        """Wait for the work, with a sign of life now and then: others' lessons may take long."""
        report(Progress(Phase.QUEUED))
        while not self._work.acquire(timeout=_SIGN_PERIOD):
            report(Progress(Phase.QUEUED))
        try:
            yield
        finally:
            self._work.release()

    def _dequeue(self, key_frame: KeyFrame) -> None:
        with self._lists:
            if self._newest.get(key_frame.stream_id) is key_frame:
                del self._newest[key_frame.stream_id]

    def _teach(
        self, key_frame: KeyFrame, arrived: float, report: OnProgress,
        on_lesson: OnLesson | None,
    ) -> StudentUpdate:
        started = self._teaching_since = time.monotonic()
        try:
            stream = self._stream(key_frame.stream_id)
            session = stream.session
            report(Progress(Phase.LABELLING))
            frame = decode_frame(key_frame.encoded)
            labelling = self._teacher.label(frame, key_frame.stamp * 1e-9)
            labelled = time.monotonic()
            report(Progress(Phase.TRAINING))
            try:
                lesson = session.learn(
                    frame, labelling.class_ids, labelling.boxes,
                    lambda step, metric, loss: report(
                        Progress(Phase.TRAINING, step, metric, loss)))
            except ValueError as error:
                raise BadLabel(f'{self._teacher.name}: {error}') from error
            trained = time.monotonic()
            stream.lesson = lesson
            stream.key_frames += 1

            def good_enough(decoded: Mapping[str, Tensor]) -> bool:
                metric = session.judge(decoded, frame, labelling.class_ids)
                stream.lesson = replace(lesson, metric=metric)
                return metric >= lesson.metric - _TOLERANCE

            group = session.group_for(
                key_frame.session_id, key_frame.student_version, lesson.group)
            base = (key_frame.student_version if key_frame.session_id == session.session_id
                    else None)
            update = replace(
                self._encode(stream, group, base, key_frame.stream_id, good_enough),
                sequence=key_frame.sequence, stamp=key_frame.stamp, frame_id=key_frame.frame_id,
                initial_metric=lesson.initial_metric, metric=stream.lesson.metric,
                steps=lesson.steps, queue_time=started - arrived,
                teacher_time=labelled - started, training_time=trained - labelled)
            if on_lesson is not None:
                on_lesson(update, frame, labelling.class_ids,
                          lambda: session.student.segment(frame))
            return update
        finally:
            self._teaching_seconds += time.monotonic() - started
            self._teaching_since = None

    def _stream(self, stream_id: str) -> _Stream:
        if not 1 <= len(stream_id) <= MAX_STREAM_ID:
            raise BadStreamId(f'stream id: expected 1 to {MAX_STREAM_ID} characters, '
                              f'got {len(stream_id)}')
        now = time.monotonic()
        with self._lists:
            stream = self._streams.get(stream_id)
            if stream is None:
                self._make_room(now)
                session_id = NO_SESSION
                while session_id == NO_SESSION:
                    session_id = secrets.randbits(64)
                stream = _Stream(
                    Session(session_id, self._first_student.clone(), self.settings.distill),
                    Encoder(self.settings.weights), now)
                self._streams[stream_id] = stream
            stream.last_used = now
            return stream

    def _make_room(self, now: float) -> None:
        if len(self._streams) < self.settings.max_streams:
            return
        oldest = min(self._streams, key=lambda name: self._streams[name].last_used)
        idle = now - self._streams[oldest].last_used
        if idle < self.settings.idle_timeout:
            raise TooManyStreams(
                f'all {self.settings.max_streams} streams were active in the last '
                f'{self.settings.idle_timeout:g} s')
        del self._streams[oldest]

    def _encode(
        self, stream: _Stream, group: str, base: int | None, stream_id: str,
        good_enough: GoodEnough | None = None,
    ) -> StudentUpdate:
        """Encode the session's weights and adopt what the robot will decode from them."""
        session, encoder = stream.session, stream.encoder
        # Copies, because what is judged is judged in the session's student.
        trained = {name: t.clone() for name, t in session.student.weights(group).items()}
        weights, decoded = encoder.encode(trained, base, good_enough)
        session.adopt(decoded)
        encoder.keep(session.version, session.student.weights(FULL), base)
        if weights.encoding == DELTA and base is not None:
            base_version = base
        else:
            base_version = 0 if group == FULL else session.base_version
        return StudentUpdate(
            stream_id=stream_id, sequence=0, stamp=0, frame_id='',
            layout_hash=session.student.layout_hash, group=group,
            session_id=session.session_id, base_version=base_version,
            version=session.version, weights=weights)
