# SPDX-License-Identifier: Apache-2.0
"""A robot: its camera's frames, the product's own Scheduler, a network that takes its time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
import random
from typing import Protocol

from simulation.events import Events
from simulation.scene import Scene, View

from shadowtutor_ros.schedule.load import Wish
from shadowtutor_ros.schedule.scheduler import LIVE, Scheduler, ScheduleSettings, Take

FPS = 30.0
NETWORK = (0.005, 0.025)  # seconds one way, from and to
PATIENCE = 10.0  # seconds: a key frame that has no turn by then has failed


@dataclass(frozen=True)
class Answer:
    """What a lesson made of the weights, and how often the robot may ask."""

    metric: float
    steps: int
    stride_floor: int = 0


@dataclass(eq=False)
class KeyFrame:
    """A key frame under way; ``begun`` once its turn has come."""

    stream_id: str
    view: View
    wish: Wish
    on_answer: Callable[[KeyFrame, Answer], None]
    begun: bool = False

    def answer(self, answer: Answer) -> None:
        """Send the answer back."""
        self.on_answer(self, answer)


class Tutor(Protocol):
    """Who answers key frames."""

    def submit(self, key_frame: KeyFrame) -> None: ...


@dataclass
class Record:
    """
    What a robot has met since ``since``, in seconds.

    ``turnarounds`` of the answered key frames, ``staleness`` of the weights summed over
    ``frames``, ``gap`` the longest time between two updates, ``strides`` in frames.
    """

    since: float
    turnarounds: list[float] = field(default_factory=list)
    strides: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    frames: int = 0
    staleness: float = 0.0
    gap: float = 0.0
    failures: int = 0
    early_failures: int = 0


class Robot:
    """Sends key frames of a stream from its making until it ``leaves``."""

    def __init__(
        self, stream_id: str, events: Events, tutor: Tutor, rng: random.Random, since: float,
    ) -> None:
        self.stream_id = stream_id
        self.record = Record(since)
        self._events = events
        self._tutor = tutor
        self._rng = rng
        self._scheduler = Scheduler(ScheduleSettings(policy=LIVE))
        self._scene = Scene(rng, events.now)
        self._period = rng.uniform(0.98, 1.02) / FPS
        self._frames = 0
        self._key_frame: KeyFrame | None = None
        self._sent, self._sent_frame = events.now, 0
        self._answer: tuple[float, Answer] | None = None
        self._learnt_on = self._updated = events.now
        self.here = True
        events.after(0.0, self._frame)

    def leave(self) -> None:
        """Go without a word."""
        self.here = False

    def _frame(self) -> None:
        if not self.here:
            return
        now = self._events.now
        self._events.after(self._period, self._frame)
        self._frames += 1
        if self._scheduler.on_frame():
            self._send()
        if self._scheduler.after_frame() is Take.IF_HERE and self._answer is not None:
            self._take()
        if now >= self.record.since:
            self.record.frames += 1
            self.record.staleness += now - self._learnt_on
            self.record.gap = max(self.record.gap, now - max(self._updated, self.record.since))

    def _send(self) -> None:
        now, record = self._events.now, self.record
        if self._key_frame is not None and now >= record.since:
            record.strides.append(self._frames - self._sent_frame)
        self._sent, self._sent_frame, self._answer = now, self._frames, None
        wish = Wish(0.0 if self._frames == 1 else self._period, self._scheduler.wanted_stride)
        self._key_frame = key_frame = KeyFrame(
            self.stream_id, self._scene.view(now), wish, self._on_answer)
        self._events.after(self._rng.uniform(*NETWORK), partial(self._tutor.submit, key_frame))
        self._events.after(PATIENCE, partial(self._lose_patience, key_frame))

    def _on_answer(self, key_frame: KeyFrame, answer: Answer) -> None:
        self._events.after(
            self._rng.uniform(*NETWORK), partial(self._receive, key_frame, answer))

    def _receive(self, key_frame: KeyFrame, answer: Answer) -> None:
        if key_frame is self._key_frame and self._scheduler.outstanding:
            self._answer = self._events.now, answer

    def _lose_patience(self, key_frame: KeyFrame) -> None:
        if key_frame.begun or key_frame is not self._key_frame or not self.here:
            return
        self._scheduler.on_failure(silent=True)
        self._scheduler.floor = self._scheduler.settings.min_stride
        if self._events.now >= self.record.since:
            self.record.failures += 1
        else:
            self.record.early_failures += 1

    def _take(self) -> None:
        assert self._answer is not None
        (arrived, answer), self._answer = self._answer, None
        record, scheduler = self.record, self._scheduler
        scheduler.on_update(answer.metric)
        scheduler.floor = max(scheduler.settings.min_stride, answer.stride_floor)
        self._scene.learn(self._sent, answer.metric)
        self._learnt_on, self._updated = self._sent, self._events.now
        if self._sent >= record.since:
            record.turnarounds.append(arrived - self._sent)
            record.steps.append(answer.steps)
