# SPDX-License-Identifier: Apache-2.0
"""A worker of a pool, and what the pool knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
import math

from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.runtime.worker import Worker
from shadowtutor_ros.schedule.load import Wish
from shadowtutor_ros.schedule.placement import Place
from shadowtutor_ros.snapshot import Snapshot
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

_FIRST = 4  # lessons of a worker that may take long: nothing is in its caches yet
_KEEP = 0.9  # of the mean service time, with every new value: a stream that moves costs something


@dataclass(eq=False)
class Errand:
    """A key frame on its way to a worker and back."""

    key_frame: KeyFrame
    answer: Future[StudentUpdate]
    tries: int = 0
    seat: Seat | None = None


@dataclass(eq=False)
class Seat:
    """
    ``streams`` have their place here, ``strangers`` of them were never asked about here.

    ``heard`` is in time.monotonic(), ``load`` 0-1, ``service`` seconds of the worker for a key
    frame, NaN until it has taught some ``lessons``. ``asked`` and ``gathered`` are answers to
    come.
    """

    worker: Worker
    heard: float
    streams: set[str] = field(default_factory=set)
    strangers: set[str] = field(default_factory=set)
    errands: set[Errand] = field(default_factory=set)
    where: str = ''
    ready: bool = False
    report: TutorReport = field(default_factory=lambda: TutorReport(0, 0.0, ()))
    load: float = 0.0
    service: float = math.nan
    lessons: int = 0
    asked: Future[tuple[str, TutorReport]] | None = None
    gathered: Future[Mapping[str, Snapshot]] | None = None
    stands_in: bool = False

    def take(self, stream_id: str) -> None:
        """Give a stream its place here."""
        self.streams.add(stream_id)
        self.strangers.add(stream_id)

    def let_go(self, stream_id: str) -> None:
        """Have a stream here no more."""
        self.streams.discard(stream_id)
        self.strangers.discard(stream_id)

    def hear(self, where: str, report: TutorReport, now: float) -> None:
        """Take what the worker says of itself."""
        if self.ready:
            taught = max(0.0, report.teaching_seconds - self.report.teaching_seconds)
            self.load = min(1.0, taught / max(now - self.heard, 1e-3))
            before = {stream.stream_id: stream.key_frames for stream in self.report.streams}
            lessons = sum(max(0, stream.key_frames - before.get(stream.stream_id, 0))
                          for stream in report.streams if stream.stream_id in self.streams)
            self.lessons += lessons
            if lessons and taught and self.lessons > _FIRST:
                each = taught / lessons
                self.service = (each if math.isnan(self.service)
                                else _KEEP * self.service + (1 - _KEEP) * each)
        self.where, self.report, self.heard, self.ready = where, report, now, True

    def place(self, wishes: Mapping[str, Wish]) -> Place:
        """Return what decides where streams go; ``wishes`` are the streams' last."""
        return Place(self.service, len(self.errands), {
            stream_id: wishes[stream_id].rate if stream_id in wishes else math.nan
            for stream_id in self.streams})
