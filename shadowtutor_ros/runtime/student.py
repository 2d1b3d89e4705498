# SPDX-License-Identifier: Apache-2.0
"""Algorithm 4: segment every frame, send key frames, swap weights between two frames."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
import math
import time

import torch

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.inference import Inference, LocalInference
from shadowtutor_ros.runtime.link import Link, LinkFailure, Refusal
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.waiting import CpuWaiting
from shadowtutor_ros.schedule.link_policy import Exchange, LinkLimits, LinkPolicy
from shadowtutor_ros.schedule.scheduler import Scheduler, ScheduleSettings, Take
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.errors import BadImage, BadKeyFrame, BadUpdate, LayoutMismatch
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame, FRAME_FORMATS, WEBP
from shadowtutor_ros.wire.update import KeyFrame, NO_SESSION, StudentUpdate, verify_update
from shadowtutor_ros.wire.whole import pack_student


def student_from_update(
    update: StudentUpdate, info: StudentInfo, device: str | torch.device = 'cpu',
) -> Student:
    """
    Return the student that a tutor's whole update describes.

    Raise BadUpdate when it is not whole or for another student than ``info``'s, and UnknownTask,
    UnknownArchitecture or BadConfiguration when this release cannot make that.
    """
    student = Student(info, info.network(), device)
    student.load(verify_update(update, student, NO_SESSION, 0))
    return student


# The worker of a student node, what it computes with and what carries frames to helpers; all
# others carry key frames.
_NOT_OF_THE_LINK = ('student', 'camera', 'encode_0', 'own_0', 'answers_0', 'share', 'to a helper')


@dataclass(frozen=True)
class KeyFrameSettings:
    """How key frames travel: a row of FRAME_FORMATS; ``quality`` of a lossy one is 1-100."""

    format: str = WEBP
    quality: int = 80


@dataclass
class Counters:
    """
    What a student has done so far; metrics are mIoU 0-1, bytes are payload bytes.

    ``turnaround_seconds`` of the last key frame contains the three that follow it, which are
    the tutor's; the rest is the network's.
    """

    frames: int = 0
    key_frames: int = 0
    updates_applied: int = 0
    updates_rejected: int = 0
    failures: int = 0
    distillation_steps: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    initial_metric: float = math.nan
    metric: float = math.nan
    steps: int = 0
    key_frame_stamp: int = 0
    inference_seconds: float = math.nan
    turnaround_seconds: float = math.nan
    queue_seconds: float = math.nan
    teacher_seconds: float = math.nan
    training_seconds: float = math.nan
    failed: bool = False
    detail: str = ''


@dataclass(frozen=True)
class _Moment:
    """A frame by its count and its stamp in nanoseconds."""

    frame: int
    stamp: int


class StudentLoop:
    """
    One camera stream on the robot.

    For every frame call ``segment``, hand the mask on, then call ``settle``; or ``submit`` in
    place of ``segment``, with others while it is worked on. Not thread-safe: one thread owns the
    loop. ``inference`` answers the frames with the weights of ``student``; without one, the
    student does so itself. With a ``policy`` timeout, quality and least stride follow the link.
    ``robot`` is a number that tells this process from others of the same ``stream_id`` by
    mistake. ``tutor_floor`` is the least stride in frames that the last answer asked for, 0 if
    none: a tutor has other robots to teach. It may be above ``max_stride``.

    ``foreign``: the tutor teaches another student than runs here, with other classes for
    example. The loop goes on with what it has; whoever owns it asks the tutor for that student
    and has the loop ``exchange`` it. ``asking``, until then: no key frames, whose answers would
    be of no use and in the way of that student.

    A tutor that does not know the weights that run here is handed them with the next key frame.
    """

    def __init__(
        self,
        student: Student,
        scheduler: Scheduler,
        link: Link,
        stream_id: str,
        key_frames: KeyFrameSettings | None = None,
        session_id: int = NO_SESSION,
        version: int = 0,
        policy: LinkPolicy | None = None,
        inference: Inference | None = None,
        robot: int = 0,
    ) -> None:
        self.student = student
        self.foreign = self.asking = False
        self.tutor_floor = 0
        self.scheduler = scheduler
        self.stream_id = stream_id
        self.session_id = session_id
        self.version = version
        self.counters = Counters()
        self._inference = inference or LocalInference(student)
        self._robot = robot
        self._link = link
        self._encoding = ThreadPoolExecutor(1, 'encode')
        self._key_frames = key_frames or KeyFrameSettings()
        self.policy = policy
        self._frame_seconds = _Average()
        self._inference_seconds = _Average()
        self._segmented_at = math.nan
        self._sent_at = math.nan
        self._waiting = CpuWaiting(_NOT_OF_THE_LINK)
        self._sent_bytes = 0
        self._hands_up = False
        self._key_frame = _Moment(0, 0)
        self._learnt_on: _Moment | None = None
        self._newest = _Moment(0, 0)
        self.frame_id = ''

    def segment(self, frame: Frame, stamp: int = 0, frame_id: str = '') -> Mask:
        """
        Return the HxW class ids of a BGR uint8 HxWx3 frame; send it, too, if it is a key frame.

        ``stamp`` is in nanoseconds. Raise BadFrame before anything else happens.
        """
        return self.submit(CameraPicture.of(frame), stamp, frame_id).result()

    def submit(
        self, picture: CameraPicture, stamp: int = 0, frame_id: str = '',
    ) -> Future[Mask]:
        """
        Do as ``segment`` does, but return what will be the mask, of the weights that run now.

        A key frame is encoded while it is segmented. That a picture is damaged may become known
        only then: BadImage is what the future raises.
        """
        self.student.check_size(*picture.size)
        now = time.perf_counter()
        self._frame_seconds.add(now - self._segmented_at)
        self._segmented_at = now
        self.counters.frames += 1
        self._newest = _Moment(self.counters.frames, stamp)
        self.frame_id = frame_id
        encoded: Future[EncodedFrame] | None = None
        if not self.asking and self.scheduler.on_frame():
            encoded = self._encoding.submit(
                _encoded, picture, self._key_frames.format, self.quality)
        started = time.perf_counter()
        answer = self._inference.submit(picture)
        answer.add_done_callback(lambda _: self._take_time(time.perf_counter() - started))
        if encoded is not None:
            self._send(encoded, stamp, frame_id)
        return answer

    def wait(self) -> None:
        """Return as soon as somebody would begin with a frame that is submitted now."""
        self._inference.wait()

    def settle(self) -> None:
        """Take the outstanding update as the schedule says: now, if it is here, or not yet."""
        take = self.scheduler.after_frame()
        if take is Take.NOTHING:
            return
        reply = self._link.receive(wait=take is Take.WAIT)
        if reply is None:
            return
        self.counters.turnaround_seconds = self._link.answered_at - self._sent_at
        if isinstance(reply, LinkFailure):
            if reply.refusal is Refusal.NEEDS_STUDENT and not self._hands_up:
                self._hands_up = True
                self.scheduler.ask_again()
                return
            self._fail(reply.reason, reply.silent, reply.gone)
            return
        try:
            self._apply(reply)
        except BadUpdate as error:
            self.counters.updates_rejected += 1
            self.foreign = isinstance(error, LayoutMismatch)
            self._fail(f'{type(error).__name__}: {error}')

    def staleness(self) -> tuple[int, float]:
        """
        Return how old the running weights are: frames and seconds since their key frame.

        Seconds are by the frames' stamps, NaN before the first update.
        """
        if self._learnt_on is None:
            return self.counters.frames, math.nan
        return (self._newest.frame - self._learnt_on.frame,
                (self._newest.stamp - self._learnt_on.stamp) * 1e-9)

    def exchange(self, student: Student, session_id: int, version: int) -> None:
        """
        Go on with another student; the next frame is a key frame.

        All counters go on. An answer to an older key frame is not for this student any more.
        """
        self.student, self.session_id, self.version = student, session_id, version
        self._inference.exchange(RunningStudent(student, session_id, version))
        self.foreign = self.asking = self._hands_up = False
        self._learnt_on = None
        self.scheduler = Scheduler(self.scheduler.settings)
        self._set_floor(0)
        self.counters.failed, self.counters.detail = False, ''

    def rest(self) -> None:
        """Take note that no frames will come for a while; no key frame is under way any more."""
        self._segmented_at = math.nan
        if self.scheduler.outstanding:
            self.scheduler.on_failure(silent=True)

    def change(
        self, schedule: ScheduleSettings, key_frames: KeyFrameSettings,
        limits: LinkLimits | None,
    ) -> None:
        """Go on by other settings from the next frame on; ``limits`` None: no policy."""
        self.scheduler.change(schedule)
        self._key_frames = key_frames
        if limits is None:
            self.policy = None
        elif self.policy is None:
            self.policy = LinkPolicy(limits)
        else:
            self.policy.change(limits)
        self._set_floor(self.tutor_floor)

    @property
    def stamp(self) -> int:
        """The newest frame's stamp in nanoseconds."""
        return self._newest.stamp

    @property
    def quality(self) -> int:
        """The quality of the next key frame; 0 when its format has none."""
        if not FRAME_FORMATS[self._key_frames.format].lossy:
            return 0
        return self._key_frames.quality if self.policy is None else self.policy.quality

    def _send(self, encoding: Future[EncodedFrame], stamp: int, frame_id: str) -> None:
        try:
            encoded = encoding.result()
        except (BadKeyFrame, BadImage) as error:
            self._fail(f'{type(error).__name__}: {error}')
            return
        counters = self.counters
        counters.key_frames += 1
        # A checkpoint of its own is no tutor's to go on from.
        layout_hash = self.student.layout_hash if self.session_id != NO_SESSION else 0
        student = pack_student(self.student.weights(FULL)) if self._hands_up else b''
        self._sent_bytes = len(student) + len(encoded.data)
        counters.bytes_up += self._sent_bytes
        counters.key_frame_stamp = stamp
        self._key_frame = self._newest
        self._sent_at = time.perf_counter()
        self._waiting = CpuWaiting(_NOT_OF_THE_LINK)
        period = self._frame_seconds.value
        self._link.send(KeyFrame(
            self.stream_id, counters.key_frames, self.session_id, self.version, stamp, frame_id,
            encoded, self._robot, 0.0 if math.isnan(period) else period,
            self.scheduler.wanted_stride, layout_hash, student),
            None if self.policy is None else self.policy.timeout)

    def _take_time(self, seconds: float) -> None:
        self._inference_seconds.add(seconds)
        self.counters.inference_seconds = self._inference_seconds.value

    def _apply(self, update: StudentUpdate) -> None:
        counters = self.counters
        counters.bytes_down += len(update.weights.payload)
        self._inference.load(verify_update(
            update, self.student, self.session_id, self.version), update)
        self.session_id, self.version = update.session_id, update.version
        handed_up, self._hands_up = self._hands_up, False
        self.foreign = False
        self._learnt_on = self._key_frame
        self.scheduler.on_update(0.0 if math.isnan(update.metric) else update.metric)
        counters.updates_applied += 1
        counters.distillation_steps += update.steps
        counters.initial_metric, counters.metric = update.initial_metric, update.metric
        counters.steps = update.steps
        counters.queue_seconds = update.queue_time
        counters.teacher_seconds = update.teacher_time
        counters.training_seconds = update.training_time
        counters.failed, counters.detail = False, ''
        if self.policy is not None and not handed_up:  # a student says nothing of pictures
            self.policy.on_answer(Exchange(
                self._sent_bytes + len(update.weights.payload), counters.turnaround_seconds,
                update.queue_time + update.teacher_time + update.training_time,
                self._frame_seconds.value, self._waiting.share()))
        self._set_floor(update.stride_floor)

    def _fail(self, reason: str, silent: bool = False, gone: bool = False) -> None:
        self._hands_up = False
        self.counters.failures += 1
        self.counters.failed, self.counters.detail = True, reason
        self.scheduler.on_failure(silent)
        if silent:
            if self.policy is not None and not gone:
                self.policy.on_silence()
            self._set_floor(0)  # whose tutor may be gone, or another by now

    def _set_floor(self, tutor: int) -> None:
        self.tutor_floor = tutor
        link = (self.scheduler.settings.min_stride if self.policy is None
                else self.policy.stride_floor)
        self.scheduler.floor = max(link, tutor)


def _encoded(picture: CameraPicture, format: str, quality: int) -> EncodedFrame:
    return encode_frame(picture.frame(), format, quality)


class _Average:
    """A moving average; NaN until there is something."""

    def __init__(self) -> None:
        self.value = math.nan

    def add(self, seconds: float) -> None:
        if math.isnan(self.value):
            self.value = seconds
        else:
            self.value = 0.9 * self.value + 0.1 * seconds
