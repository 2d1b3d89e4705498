# SPDX-License-Identifier: Apache-2.0
"""Robots for a tutor in the same process: real student loops, without their segmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
import heapq
import itertools
import math
from pathlib import Path
import time
from typing import Protocol

import cv2
import numpy as np
from torch import Tensor

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.link import LinkFailure, Refusal, Reply
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import StudentNeeded
from shadowtutor_ros.schedule.scheduler import Scheduler, ScheduleSettings
from shadowtutor_ros.schedule.turns import Refused
from shadowtutor_ros.video import Capture, ImageFolder, Source, VideoError
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


class TaughtBy(Protocol):
    """What robots need of a tutor."""

    def first_student(self, stream_id: str, robot: int = 0) -> StudentUpdate:
        """Return the stream's whole student."""

    def submit(self, key_frame: KeyFrame) -> Future[StudentUpdate]:
        """Return the answer to come."""


class Film:
    """Frames of a clip in memory, shown to and fro so that there is no cut where it ends."""

    def __init__(self, name: str, frames: Sequence[Frame]) -> None:
        self.name = name
        self.frames = frames
        self.period = max(1, 2 * (len(frames) - 1))

    def position(self, count: int) -> int:
        """Return which frame of the clip is shown as number ``count``."""
        place = count % self.period
        return min(place, self.period - place)


def read_film(path: Path, limit: int, size: tuple[int, int] | None = None) -> Film:
    """
    Return the first ``limit`` frames of a video file or an image folder.

    ``size`` is (W, H), None: as they are. Raise VideoError.
    """
    source: Source = ImageFolder(str(path)) if path.is_dir() else Capture(str(path))
    frames = [frame if size is None else np.asarray(cv2.resize(frame, size), np.uint8)
              for frame in itertools.islice(source, limit)]
    if not frames:
        raise VideoError(f'{path}: the video has no frames')
    return Film(path.name, frames)


@dataclass
class Request:
    """A key frame on its way: seconds of ``time.perf_counter()``, and what came back."""

    sent_at: float
    answered_at: float = math.nan
    reply: Reply | None = None
    refused: bool = False


class FutureLink:
    """A tutor in the same process, which teaches while the robot goes on."""

    def __init__(self, tutor: TaughtBy) -> None:
        self._tutor = tutor
        self.requests: list[Request] = []
        self.answered_at = math.nan

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        request = Request(time.perf_counter())
        self.requests.append(request)
        try:
            future = self._tutor.submit(key_frame)
        except Refused as error:
            _note(request, error)
            return
        future.add_done_callback(partial(_take, request))

    def receive(self, wait: bool) -> Reply | None:
        """Return the reply to the last key frame sent; ``wait`` is not for a live schedule."""
        request = self.requests[-1]
        self.answered_at = request.answered_at
        return request.reply


def _take(request: Request, future: Future[StudentUpdate]) -> None:
    """Note when the answer came: in the tutor's thread, not when the robot looks next."""
    if (error := future.exception()) is not None:
        _note(request, error)
        return
    request.answered_at = time.perf_counter()
    request.reply = future.result()


def _note(request: Request, error: BaseException) -> None:
    request.refused = isinstance(error, Refused)
    request.answered_at = time.perf_counter()
    request.reply = LinkFailure(f'{type(error).__name__}: {error}', refusal=(
        Refusal.NEEDS_STUDENT if isinstance(error, StudentNeeded) else Refusal.FAILED))


class NoInference:
    """An Inference that takes weights and looks at no frame: its masks are all of class 0."""

    def __init__(self, student: Student) -> None:
        self._student = student
        self._masks: dict[tuple[int, int], Mask] = {}
        self._copy: Mapping[str, Tensor] | None = None

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The whole student as it runs now; one copy of every version that is asked for."""
        if self._copy is None:
            self._copy = {n: t.clone() for n, t in self._student.weights(FULL).items()}
        return self._copy

    def submit(self, picture: CameraPicture) -> Future[Mask]:
        size = picture.size
        answer: Future[Mask] = Future()
        answer.set_result(self._masks.setdefault(size, np.zeros(size, np.uint8)))
        return answer

    def load(self, tensors: Mapping[str, Tensor], update: StudentUpdate) -> None:
        self._student.load(tensors)
        self._copy = None

    def exchange(self, student: RunningStudent) -> None:
        self._student = student.student
        self._copy = None

    def wait(self) -> None:
        """Somebody always begins at once."""


@dataclass(frozen=True)
class Look:
    """A frame that is judged later: its position in the film and the weights in force."""

    at: float
    position: int
    weights: Mapping[str, Tensor]


@dataclass(frozen=True)
class Shown:
    """A frame that a robot saw ``at`` a time, how old its weights were, and if it was sent."""

    at: float
    staleness: float
    key_frame: bool


class Robot:
    """
    A robot that looks at a film from frame ``offset`` on.

    Every ``sample``-th frame of the film is a Look.
    """

    def __init__(
        self, number: int, film: Film, offset: int, tutor: TaughtBy, info: StudentInfo,
        sample: int,
    ) -> None:
        self.film = film
        self.link = FutureLink(tutor)
        self.shown: list[Shown] = []
        self.looks: list[Look] = []
        self._offset, self._sample = offset, sample
        stream_id = f'robot{number}'
        first = tutor.first_student(stream_id, number + 1)
        student = student_from_update(first, info)
        self._inference = NoInference(student)
        self.loop = StudentLoop(
            student, Scheduler(ScheduleSettings()), self.link, stream_id,
            session_id=first.session_id, version=first.version, inference=self._inference,
            robot=number + 1)

    def see(self, count: int, stamp: float) -> None:
        """Do all that a robot does with frame number ``count``, of ``stamp`` seconds."""
        position = self.film.position(self._offset + count)
        sent = self.loop.counters.key_frames
        self.loop.segment(self.film.frames[position], round(stamp * 1e9))
        now = time.perf_counter()
        self.shown.append(Shown(
            now, self.loop.staleness()[1], self.loop.counters.key_frames > sent))
        if position % self._sample == 0:
            self.looks.append(Look(now, position, self._inference.weights))
        self.loop.settle()


def play(
    robots: Sequence[Robot], fps: float, on: Callable[[], bool],
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """
    Show every robot ``fps`` frames per second for as long as ``on()``.

    All in this thread, each robot at its own moment within a frame's time. As with a camera,
    frames that nobody had time for are gone.
    """
    start = clock()
    phases = [number / len(robots) for number in range(len(robots))]
    due = [(start + phase / fps, number) for number, phase in enumerate(phases)]
    heapq.heapify(due)
    while on():
        moment, number = due[0]
        if (wait := moment - clock()) > 0:
            sleep(wait)
        count = max(0, math.floor((clock() - start) * fps - phases[number]))
        robots[number].see(count, clock() - start)
        heapq.heapreplace(due, (start + (count + 1 + phases[number]) / fps, number))
