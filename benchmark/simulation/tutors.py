# SPDX-License-Identifier: Apache-2.0
"""Two tutors by their service times: one key frame at a time, and the product's pipeline."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from simulation.events import Action, Events, Shared, Stage
from simulation.robots import Answer, KeyFrame
from simulation.scene import THRESHOLD

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.schedule.load import Effort, Load, steps_allowed
from shadowtutor_ros.schedule.turns import Turns

SETTINGS = DistillSettings.plain()


@dataclass(frozen=True)
class ServiceTimes:
    """
    Seconds: ``decode`` and ``encode`` of a processor core, the rest of the GPU.

    A label is ``batch`` for each batch and ``label`` for each of its frames. A lesson is
    ``forward``, its steps, and ``judge`` and ``encode`` once there was one.
    """

    decode: float
    batch: float
    label: float
    forward: float
    step: float
    full_step: float
    judge: float
    encode: float
    encode_nothing: float

    def labelling(self, frames: int) -> float:
        """Return the seconds for a batch."""
        return self.batch + frames * self.label

    def teaching(self, steps: int, cold: bool) -> float:
        """Return the GPU's seconds for a lesson."""
        each = self.full_step if cold else self.step
        return self.forward + steps * each + (self.judge if steps else 0.0)

    def encoding(self, steps: int) -> float:
        """Return a core's seconds for the answer."""
        return self.encode if steps else self.encode_nothing


@dataclass(frozen=True)
class Pipeline:
    """How many of each a tutor has; ``batch`` frames are labelled at once at most."""

    desks: int = 4
    batch: int = 4
    decoders: int = 2
    cores: int = 8


class Pupil:
    """Whether a stream is cold, as the product's trainer decides it."""

    def __init__(self) -> None:
        self._lessons = 0
        self._was_good_enough = False

    @property
    def cold(self) -> bool:
        """Say whether the next lesson belongs to the cold start."""
        return not self._was_good_enough and self._lessons < SETTINGS.cold_start_key_frames

    @property
    def limit(self) -> int:
        """Steps that the settings allow the next lesson."""
        return SETTINGS.cold_start_updates if self.cold else SETTINGS.max_updates

    def on_lesson(self, metric: float) -> None:
        """Count a lesson that ended with ``metric``."""
        self._lessons += 1
        self._was_good_enough |= metric >= THRESHOLD


class LockStep:
    """Teaches one key frame after the other, first come, first served."""

    def __init__(self, events: Events, times: ServiceTimes) -> None:
        self.shares: list[tuple[float, float]] = []
        self.gpu = Shared(events, 1)
        self._events = events
        self._times = times
        self._queue: deque[KeyFrame] = deque()
        self._pupils: dict[str, Pupil] = {}
        self._busy = False

    def submit(self, key_frame: KeyFrame) -> None:
        """Take a key frame; a newer one takes the place of an older one of its stream."""
        for index, waiting in enumerate(self._queue):
            if waiting.stream_id == key_frame.stream_id:
                self._queue[index] = key_frame
                return
        self._queue.append(key_frame)
        self._next()

    def _next(self) -> None:
        if self._busy or not self._queue:
            return
        self._busy = True
        key_frame = self._queue.popleft()
        key_frame.begun = True
        times, pupil = self._times, self._pupils.setdefault(key_frame.stream_id, Pupil())
        steps, metric = key_frame.view.lesson(pupil.limit)
        gpu = times.labelling(1) + times.teaching(steps, pupil.cold)
        host = times.decode + times.encoding(steps)
        pupil.on_lesson(metric)
        self.shares.append((self._events.now, 1.0))
        self.gpu.work(gpu, partial(
            self._events.after, host, partial(self._end, key_frame, Answer(metric, steps))))

    def _end(self, key_frame: KeyFrame, answer: Answer) -> None:
        self._busy = False
        key_frame.answer(answer)
        self._next()


@dataclass(eq=False)
class _Job:
    """A key frame past its turn; ``label`` are its seconds of the labelling thread."""

    key_frame: KeyFrame
    label: float = 0.0


class Pipelined:
    """
    Decodes, labels and teaches at the same time, with the product's Turns and Load.

    At most as many key frames as there are desks and places in a batch are past Turns.
    """

    def __init__(
        self, events: Events, times: ServiceTimes, pipeline: Pipeline, max_streams: int = 256,
    ) -> None:
        self.shares: list[tuple[float, float]] = []
        self.gpu = Shared(events, 1)
        self._host = Shared(events, pipeline.cores)
        self._events = events
        self._times = times
        self._turns: Turns[KeyFrame] = Turns(max_streams, idle_timeout=60.0)
        self._load = Load(pipeline.desks)
        self._pupils: dict[str, Pupil] = {}
        self._places = pipeline.desks + pipeline.batch
        self._decoders: Stage[_Job] = Stage(pipeline.decoders, self._decode)
        self._labeller: Stage[_Job] = Stage(1, self._label, pipeline.batch)
        self._desks: Stage[_Job] = Stage(pipeline.desks, self._teach)

    def submit(self, key_frame: KeyFrame) -> None:
        """Take a key frame; a newer one takes the place of an older one of its stream."""
        now, stream_id = self._events.now, key_frame.stream_id
        loser = self._turns.admit(stream_id, 0, now).loser
        if loser is not None:
            self._load.forget(loser)
        self._load.asked(stream_id, key_frame.wish, now)
        self._turns.put(stream_id, key_frame, now)
        self._fill()

    def _fill(self) -> None:
        while self._places and (turn := self._turns.take()) is not None:
            self._places -= 1
            turn[1].begun = True
            self._decoders.put(_Job(turn[1]))

    def _decode(self, jobs: list[_Job], done: Action) -> None:
        self._host.work(self._times.decode, partial(self._pass, jobs, self._labeller, done))

    def _label(self, jobs: list[_Job], done: Action) -> None:
        since = self._events.now

        def labelled() -> None:
            for job in jobs:
                job.label = (self._events.now - since) / len(jobs)
            self._pass(jobs, self._desks, done)

        self.gpu.work(self._times.labelling(len(jobs)), labelled)

    def _pass(self, jobs: Iterable[_Job], stage: Stage[_Job], done: Action) -> None:
        for job in jobs:
            stage.put(job)
        done()

    def _teach(self, jobs: list[_Job], done: Action) -> None:
        job, = jobs
        times, since = self._times, self._events.now
        pupil = self._pupils.setdefault(job.key_frame.stream_id, Pupil())
        share = self._load.share(since)
        limit, cold = pupil.limit, pupil.cold
        allowed = steps_allowed(limit, share)
        steps, metric = job.key_frame.view.lesson(allowed)
        self.shares.append((since, share))
        gpu = times.teaching(steps, cold)
        pupil.on_lesson(metric)

        def trained() -> None:
            # Whoever else is on the GPU makes all of it slower alike.
            slower = (self._events.now - since) / gpu
            step = slower * (times.full_step if cold else times.step)
            base = slower * (gpu - steps * step / slower) + job.label + times.encoding(steps)
            effort = Effort(base, step if steps else 0.0, steps, allowed, limit)
            self._host.work(times.encoding(steps), partial(
                self._end, job.key_frame, metric, effort, done))

        self.gpu.work(gpu, trained)

    def _end(self, key_frame: KeyFrame, metric: float, effort: Effort, done: Action) -> None:
        now, stream_id = self._events.now, key_frame.stream_id
        self._load.taught(stream_id, effort, now)
        floor = self._load.stride_floor(stream_id, now)
        self._turns.done(stream_id, now)
        self._places += 1
        key_frame.answer(Answer(metric, effort.steps, floor))
        done()
        self._fill()
