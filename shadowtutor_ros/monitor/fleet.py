# SPDX-License-Identifier: Apache-2.0
"""
What is known of every student and tutor that publishes its status.

Statuses and lessons are the messages StudentStatus, TutorStatus and Lesson, or anything that has
their fields. Times are seconds of any one clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
import math
import threading
from typing import Any

from shadowtutor_ros.monitor.legend import Legend
from shadowtutor_ros.monitor.rates import RateMeter, Rates

SILENT_AFTER = 5.0  # seconds without a status
FORGET_AFTER = 30.0  # seconds without a status once its publisher has left the graph
HISTORY = 120  # lessons
MOST = 256  # students, tutors and lessons that are kept, each

# Within what a stream is one student: two nodes may share a topic, or by mistake a stream id.
Key = tuple[str, str]


@dataclass(frozen=True)
class Outcome:
    """What one lesson did: mIoU on its key frame, 0-1; ``at`` is when it was heard of."""

    before: float
    after: float
    at: float = 0.0


@dataclass(frozen=True)
class LessonView:
    """
    The newest lesson of a stream, the legend of its masks if known, and its age in seconds.

    Who comes late hears of a lesson after it was given: it is as old as its stream is idle.
    """

    tutor: str
    lesson: Any
    legend: Legend | None
    age: float


@dataclass(frozen=True)
class StudentView:
    """
    A student now; ``idle`` are the seconds since its last status.

    ``tutor`` is the node that serves it, '' if that is not known.

    ``tutor_silent``: that should have been heard of by now. ``preview`` is the CompressedImage of
    what it sees, None for an old one.
    """

    node: str
    stream_id: str
    status: Any
    rates: Rates
    history: tuple[Outcome, ...]
    idle: float
    tutor: str
    last: LessonView | None
    tutor_silent: bool = False
    preview: Any = None

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return self.node, self.stream_id

    @property
    def silent(self) -> bool:
        """Say whether it should have been heard of by now."""
        return self.idle > SILENT_AFTER


@dataclass(frozen=True)
class TutorView:
    """A tutor now; ``idle`` are the seconds since its last status."""

    node: str
    status: Any
    idle: float

    @property
    def silent(self) -> bool:
        """Say whether it should have been heard of by now."""
        return self.idle > SILENT_AFTER


@dataclass(frozen=True)
class FleetView:
    """Everybody at one moment, students in the order of their stream ids, tutors of nodes."""

    students: tuple[StudentView, ...]
    tutors: tuple[TutorView, ...]

    @property
    def empty(self) -> bool:
        """Say whether nobody is there."""
        return not self.students and not self.tutors


@dataclass
class _Known:
    """One node as it was last heard of."""

    status: Any
    heard: float
    meter: RateMeter = field(default_factory=RateMeter)
    history: deque[Outcome] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def rates(self, now: float) -> Rates:
        return Rates() if now > self.heard + SILENT_AFTER else self.meter.rates()


class Fleet:
    """Takes what nodes say and gives views of it; may be used from any thread."""

    def __init__(self) -> None:
        self._students: dict[Key, _Known] = {}
        self._tutors: dict[str, _Known] = {}
        self._lessons: dict[str, tuple[str, Any, float]] = {}
        self._legends: dict[str, Legend] = {}
        self._previews: dict[str, tuple[Any, float]] = {}
        self._lock = threading.Lock()

    def hear_student(self, node: str, status: Any, now: float) -> None:
        """Take a StudentStatus of ``node``."""
        with self._lock:
            key = node, str(status.stream_id)
            known = self._students.get(key)
            taught = known is None or known.status.updates_applied != status.updates_applied
            if known is None:
                known = self._students[key] = _Known(status, now)
                _keep_newest(self._students)
            known.status, known.heard = status, now
            known.meter.add(status, now)
            if taught and not math.isnan(status.metric):
                known.history.append(Outcome(status.initial_metric, status.metric, now))

    def hear_tutor(self, node: str, status: Any, now: float) -> None:
        """Take a TutorStatus of ``node``."""
        with self._lock:
            self._tutors[node] = _Known(status, now)
            _keep_newest(self._tutors)

    def hear_lesson(self, node: str, lesson: Any, now: float) -> None:
        """Take a Lesson of the tutor ``node``."""
        with self._lock:
            self._lessons.pop(lesson.stream_id, None)  # the newest comes last
            self._lessons[lesson.stream_id] = node, lesson, now
            if len(self._lessons) > MOST:
                del self._lessons[next(iter(self._lessons))]

    def hear_preview(self, node: str, image: Any, now: float) -> None:
        """Take what the student ``node`` sees, a CompressedImage."""
        with self._lock:
            self._previews.pop(node, None)  # the newest comes last
            self._previews[node] = image, now
            if len(self._previews) > MOST:
                del self._previews[next(iter(self._previews))]

    def hear_legend(self, node: str, legend: Legend) -> None:
        """Take what the masks of ``node`` mean."""
        with self._lock:
            self._legends[node] = legend

    def see(self, present: Collection[str], now: float) -> None:
        """Forget the nodes that are not ``present`` and have not been heard of for a while."""
        with self._lock:
            for key, student in list(self._students.items()):
                if key[0] not in present and now > student.heard + FORGET_AFTER:
                    del self._students[key]
                    self._lessons.pop(key[1], None)
            for node, tutor in list(self._tutors.items()):
                if node not in present and now > tutor.heard + FORGET_AFTER:
                    del self._tutors[node]
            known = {*present, *self._tutors, *(node for node, _ in self._students)}
            self._legends = {n: legend for n, legend in self._legends.items() if n in known}
            self._previews = {n: one for n, one in self._previews.items() if n in known}

    def view(self, now: float) -> FleetView:
        """Return everybody as they are."""
        with self._lock:
            tutors = tuple(TutorView(node, known.status, now - known.heard)
                           for node, known in sorted(self._tutors.items()))
            by_name = {tutor.node: tutor for tutor in tutors}
            teaching = {stream.stream_id: tutor
                        for tutor in tutors for stream in tutor.status.streams}
            idle = {stream.stream_id: stream.idle_seconds + tutor.idle
                    for tutor in tutors for stream in tutor.status.streams}
            students = tuple(
                # Of several tutors that have taught it, it says itself which one serves.
                self._student(node, stream_id, known, by_name.get(
                    known.status.tutor, teaching.get(stream_id)), idle.get(stream_id, 0.0), now)
                for (node, stream_id), known in sorted(
                    self._students.items(), key=lambda item: (item[0][1], item[0][0])))
        return FleetView(students, tutors)

    def _student(
        self, node: str, stream_id: str, known: _Known, tutor: TutorView | None, idle: float,
        now: float,
    ) -> StudentView:
        return StudentView(
            node, stream_id, known.status, known.rates(now), tuple(known.history),
            now - known.heard, tutor.node if tutor is not None else '',
            self._last_lesson(node, stream_id, idle, now), tutor is not None and tutor.silent,
            self._preview(node, now))

    def _preview(self, node: str, now: float) -> Any:
        image, heard = self._previews.get(node, (None, -math.inf))
        return image if now <= heard + SILENT_AFTER else None

    def _last_lesson(
        self, node: str, stream_id: str, idle: float, now: float,
    ) -> LessonView | None:
        if stream_id not in self._lessons:
            return None
        tutor, lesson, heard = self._lessons[stream_id]
        legend = self._legends.get(tutor) or self._legends.get(node)
        return LessonView(tutor, lesson, legend, max(now - heard, idle))  # it may have come late


def _keep_newest(known: dict[Any, _Known]) -> None:
    if len(known) > MOST:
        del known[min(known, key=lambda key: known[key].heard)]
