# SPDX-License-Identifier: Apache-2.0
"""Algorithm 3: the tutor labels key frames and teaches one student per stream."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
import logging
from pathlib import Path
import threading
import time

import torch

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.device import free_memory
from shadowtutor_ros.model.groups import FULL, shapes_of
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.job import Job, OnLesson, OnProgress, Phase, Progress
from shadowtutor_ros.runtime.labeller import Labeller
from shadowtutor_ros.runtime.onlookers import Onlookers
from shadowtutor_ros.runtime.pipeline import Pipeline, Stages
from shadowtutor_ros.runtime.report import StreamReport, TutorReport
from shadowtutor_ros.runtime.session import Running
from shadowtutor_ros.runtime.stream import FirstStudent, host_bytes, Stream, stream_bytes
from shadowtutor_ros.runtime.stream_states import StreamStates
from shadowtutor_ros.runtime.stream_store import StreamStore
from shadowtutor_ros.schedule.load import Load, Wish
from shadowtutor_ros.schedule.turns import OWNER_SILENCE, Refused, Superseded, Turns
from shadowtutor_ros.teacher.protocol import StampedFrame, Teacher
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.key_frame import decode_frame, MAX_PIXELS
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate
from shadowtutor_ros.wire.whole import unpack_student

_LOG = logging.getLogger(__name__)
MAX_STREAMS = 256
LESSON_SECONDS = 60.0
_MOST_DESKS, _DESKS_OF_A_GPU = 8, 4  # of a CPU; of a GPU, which works while others encode
_BATCH_OF_A_GPU = 8  # frames; several together cost a CPU as much as one by one


class StudentNeeded(Refused):
    """A robot runs weights that this tutor does not know: it shall hand them up."""


@dataclass(frozen=True)
class TutorSettings:
    """
    ``weights`` on the wire; a stream idle for ``idle_timeout`` s may go.

    A key frame of more than ``max_pixels`` is refused before it is decoded. Lessons are taught
    to ``lessons_at_once`` robots at the same time; 0: as many as suit the device. There are
    places for ``max_streams``; 0: as many as fit half of the device's and the host's free memory,
    with all the key frames that a stream may remember, MAX_STREAMS at most. What the streams
    learn is kept in ``state_folder``; None: as long as the tutor. They share a ``library`` of so
    many students of the past at most; 0: none. No lesson begins a step after ``lesson_seconds``.
    """

    distill: DistillSettings = field(default_factory=DistillSettings)
    weights: WeightSettings = field(default_factory=WeightSettings)
    max_streams: int = 0
    idle_timeout: float = 600.0
    max_pixels: int = MAX_PIXELS
    lessons_at_once: int = 0
    state_folder: Path | None = None
    library: int = 0
    lesson_seconds: float = LESSON_SECONDS


class Tutor:
    """
    A teacher and a stream per robot's camera.

    Every method may be called from any thread and none but ``distill`` waits for a lesson. The
    robots with the oldest weights are taught first, several at a time. A stream takes up to
    ``bytes_per_stream`` of the device's memory, and there are ``max_streams`` places.
    """

    def __init__(
        self, teacher: Teacher, first_student: Student, settings: TutorSettings,
        states: StreamStates | None = None,
    ) -> None:
        """
        Without a state folder, ``states`` keeps what the streams learn.

        Raise NonFiniteUpdate when the first student cannot be sent, UnusableStateFolder.
        """
        self.settings = settings
        self.teacher_name = teacher.name
        self._labeller = Labeller(teacher)
        self._first = FirstStudent(first_student, settings.weights)
        self._shapes = shapes_of(self._first.student.weights(FULL))
        self._store = StreamStore(
            self._first, settings.weights, settings.state_folder, settings.library, states)
        self._streams: dict[str, Stream] = {}
        self._floors: dict[str, int] = {}
        device = first_student.device
        self._trainers = [Trainer(self._first.student.clone(), settings.distill)
                          for _ in range(settings.lessons_at_once or _desks_of(device))]
        self.bytes_per_stream = stream_bytes(self._trainers[0].state)
        self.max_streams = settings.max_streams or _places(
            self.bytes_per_stream,
            host_bytes(self._trainers[0].state, settings.distill.replay), device)
        self._turns: Turns[Job] = Turns(self.max_streams, settings.idle_timeout)
        self._load = Load(len(self._trainers))
        self._lock = threading.Lock()  # of turns, streams and load; never held for long
        self._pipeline: Pipeline[Job] = Pipeline(
            self._trainers, _BATCH_OF_A_GPU if device.type == 'cuda' else 1)
        self._onlookers = Onlookers(self._first.student)
        self._under_way = 0
        self._teaching_seconds = 0.0
        self._teaching_since = 0.0

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
        self.settings = replace(self.settings, distill=distill)
        for trainer in self._trainers:
            trainer.settings = distill

    def admit(self, stream_id: str, robot: int = 0) -> None:
        """Give the stream a place; raise Refused if it cannot have one or is another robot's."""
        with self._lock:
            self._admit(stream_id, robot)

    def first_student(self, stream_id: str, robot: int = 0) -> StudentUpdate:
        """
        Return the stream's whole student as its robot was given it last, at once.

        Who is no robot (0) may look at what others have. Raise Refused.
        """
        if robot or stream_id not in self.streams:
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
        It fails with BadLabelling, a TeacherError, a WireError or StudentNeeded. ``on_lesson`` is
        told after the answer, from a thread for that, unless it is behind. Raise Refused.
        """
        stream_id, now = key_frame.stream_id, time.monotonic()
        job = Job(key_frame, on_progress or _nothing, on_lesson, now)
        with self._lock:
            self._admit(stream_id, key_frame.robot)
            older = self._turns.put(stream_id, job, now)
            self._load.asked(stream_id, Wish(key_frame.frame_period, key_frame.stride), now)
        if older is not None and older.future.set_running_or_notify_cancel():
            older.future.set_exception(Superseded(
                f'key frame {older.key_frame.sequence} of {stream_id!r}: '
                'a newer one came before its turn'))
        self._pipeline.pull(
            Stages(self._take, self._decode, self._label, self._teach, self._done))
        return job.future

    def distill(
        self, key_frame: KeyFrame, on_progress: OnProgress | None = None,
        on_lesson: OnLesson | None = None,
    ) -> StudentUpdate:
        """Submit a key frame and wait for the answer; raise what ``submit`` says."""
        return self.submit(key_frame, on_progress, on_lesson).result()

    def reopen(self, stream_id: str) -> None:
        """Forget what a stream knows: from its next key frame on it is what is kept of it."""
        with self._lock:
            self._streams.pop(stream_id, None)

    def show_again(self, on_lesson: OnLesson) -> None:
        """Show every stream's last lesson to who comes late, from the thread that shows."""
        with self._lock:
            streams = list(self._streams.values())
        self._onlookers.again(streams, on_lesson)

    def report(self) -> TutorReport:
        """Return what the tutor does at the moment."""
        now = time.monotonic()
        with self._lock:
            return TutorReport(
                self._turns.waiting,
                self._teaching_seconds + (now - self._teaching_since if self._under_way else 0.0),
                tuple(self._report_of(stream, now) for stream in self._streams.values()),
                self._load.share(now))

    def _report_of(self, stream: Stream, now: float) -> StreamReport:
        lesson = stream.lesson
        return StreamReport(
            stream.stream_id, stream.version, stream.key_frames, lesson.initial_metric,
            lesson.metric, lesson.steps, self._turns.idle(stream.stream_id, now),
            self._floors.get(stream.stream_id, 0), stream.started_from, stream.gained)

    def close(self) -> None:
        """Keep what was learnt, and let another tutor have the state folder."""
        self._store.close()

    def _admit(self, stream_id: str, robot: int) -> None:
        admission = self._turns.admit(stream_id, robot, time.monotonic())
        if admission.loser is not None:
            self._forget(admission.loser)
        if admission.changed_hands:
            self._load.forget(stream_id)
            _LOG.warning('stream %r goes to another robot: its own was silent for %g s. If both '
                         'run, give each a stream_id of its own', stream_id, OWNER_SILENCE)

    def _forget(self, stream_id: str) -> None:
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            stream.retire()
        self._floors.pop(stream_id, None)
        self._load.forget(stream_id)
        self._onlookers.forget(stream_id)

    def _stream(self, stream_id: str) -> Stream:
        """Return the stream, made without the lock: it takes a while."""
        with self._lock:
            if stream_id in self._streams:
                return self._streams[stream_id]
        opened = self._store.open(stream_id)
        with self._lock:
            if stream_id not in self._turns.streams:  # it lost its place meanwhile
                opened.retire()
                return opened
            return self._streams.setdefault(stream_id, opened)

    # -- the stages of the pipeline ------------------------------------------------------------

    def _take(self) -> Job | None:
        while True:
            with self._lock:
                turn = self._turns.take()
                if turn is None:
                    return None
                if not self._under_way:
                    self._teaching_since = time.monotonic()
                self._under_way += 1
            if turn[1].future.set_running_or_notify_cancel():
                return turn[1]
            self._done(turn[1])

    def _decode(self, job: Job) -> bool:
        started = time.monotonic()
        try:
            job.on_progress(Progress(Phase.LABELLING))
            self._recognise(job.key_frame)
            job.frame = decode_frame(job.key_frame.encoded, self.settings.max_pixels)
        except BaseException as error:
            job.fail(error)
            return False
        job.teacher_time = time.monotonic() - started
        return True

    def _recognise(self, key_frame: KeyFrame) -> None:
        """Raise StudentNeeded when it takes the robot's own student to go on from that."""
        if key_frame.layout_hash != self._first.student.layout_hash or key_frame.student:
            return  # what it has is another student, or is here
        if self._stream(key_frame.stream_id).needs(_running(key_frame)):
            raise StudentNeeded(
                f'version {key_frame.student_version} of session {key_frame.session_id:016x} '
                'is not known here: expected it with the next key frame')

    def _label(self, jobs: Sequence[Job]) -> list[Job]:
        started = time.monotonic()
        labellings = self._labeller.label([
            StampedFrame(job.frame, job.key_frame.stamp * 1e-9)
            for job in jobs if job.frame is not None])
        seconds = time.monotonic() - started
        for job, labelling in zip(jobs, labellings, strict=True):
            if isinstance(labelling, Exception):
                job.fail(labelling)
                continue
            job.labelling = labelling
            job.teacher_time += seconds
            job.labelling_share = seconds / len(jobs)
        return [job for job in jobs if job.labelling is not None]

    def _teach(self, job: Job, trainer: Trainer) -> None:
        try:
            stream = self._stream(job.key_frame.stream_id)
            update = self._lesson(stream, job, trainer)
            self._keep(stream)  # before the answer: whoever has it may end the tutor
        except BaseException as error:
            job.fail(error)
        else:
            job.taught = True
            self._onlookers.note(update)
            job.future.set_result(update)
            self._onlookers.offer(job, update, trainer)
        finally:
            trainer.close()
            job.forget()

    def _done(self, job: Job) -> None:
        with self._lock:
            now = time.monotonic()
            self._under_way -= 1
            if not self._under_way:
                self._teaching_seconds += now - self._teaching_since
            self._turns.done(job.key_frame.stream_id, now, job.taught)

    def _lesson(self, stream: Stream, job: Job, trainer: Trainer) -> StudentUpdate:
        key_frame, started = job.key_frame, time.monotonic()
        assert job.frame is not None
        assert job.labelling is not None
        job.on_progress(Progress(Phase.TRAINING))
        running = _running(key_frame)
        if (key_frame.student and key_frame.layout_hash == self._first.student.layout_hash
                and stream.needs(running)):
            stream.take_over(running, unpack_student(key_frame.student, self._shapes))
        with self._lock:
            share = self._load.share(started)
        update = stream.teach(
            trainer, job.frame, job.labelling, running,
            lambda step, metric, loss: job.on_progress(
                Progress(Phase.TRAINING, step, metric, loss)), share,
            self.settings.lesson_seconds)
        return replace(
            update, sequence=key_frame.sequence, stamp=key_frame.stamp,
            frame_id=key_frame.frame_id, queue_time=started - job.arrived - job.teacher_time,
            teacher_time=job.teacher_time, stride_floor=self._floor(stream, job))

    def _floor(self, stream: Stream, job: Job) -> int:
        """Return how far apart the robot's next key frames shall be at least, by all the load."""
        now = time.monotonic()
        # Where the teacher is slower than the desks it is the teacher that is waited for.
        effort = stream.effort.at_least(len(self._trainers) * job.labelling_share)
        with self._lock:
            self._load.taught(stream.stream_id, effort, now)
            floor = self._load.stride_floor(stream.stream_id, now)
            self._floors[stream.stream_id] = floor
        return floor

    def _keep(self, stream: Stream) -> None:
        try:
            self._store.keep(stream)
        except Exception as error:  # the robot gets its answer all the same
            _LOG.warning('state of %r not kept: %s', stream.stream_id, error)


def _places(on_device: int, on_host: int, device: torch.device) -> int:
    """Return how many streams fit a device and the host, each of which takes so many bytes."""
    if device.type == 'cpu':
        fit = free_memory(device) // 2 // (on_device + on_host)
    else:
        fit = min(free_memory(device) // 2 // on_device,
                  free_memory(torch.device('cpu')) // 2 // max(1, on_host))
    return max(1, min(MAX_STREAMS, fit))


def _desks_of(device: torch.device) -> int:
    """Return how many lessons at once suit a device."""
    if device.type == 'cuda':
        return _DESKS_OF_A_GPU
    return min(_MOST_DESKS, torch.get_num_threads())


def _running(key_frame: KeyFrame) -> Running:
    return Running(key_frame.session_id, key_frame.student_version)


def _nothing(progress: Progress) -> None:
    pass
