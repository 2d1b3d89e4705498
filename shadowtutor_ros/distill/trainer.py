# SPDX-License-Identifier: Apache-2.0
"""Teach students, one after the other, at one network on one device."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.cuda_graph import Recorder
from shadowtutor_ros.distill.algorithm import Algorithm1, Variables
from shadowtutor_ros.distill.augmentation import example_on, Warp
from shadowtutor_ros.distill.memory import Example
from shadowtutor_ros.distill.recording import Recordings
from shadowtutor_ros.distill.settings import AUGMENTED, DistillSettings, NONE
from shadowtutor_ros.distill.state import TrainingState
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student
from shadowtutor_ros.teacher.protocol import Labelling

OnStep = Callable[[int, float, float], None]

_LATE = 2  # steps that a GPU may be ahead of what the host knows


@dataclass(frozen=True)
class Lesson:
    """What one key frame did: metrics are the task's, 0-1, ``steps`` distillation steps taken."""

    group: str
    initial_metric: float
    metric: float
    steps: int


class Trainer:
    """
    Trains ``student``, whose weights, moments and past are ``state``.

    Other students of the same network are trained by it too: copy their state there and back.
    Adam's moments live over all key frames.
    """

    def __init__(self, student: Student, settings: DistillSettings) -> None:
        self.student = student
        self.settings = settings
        self.state = TrainingState(student.network, student.device)
        self.state.give_to(student.network)
        self._late = 0
        self._recordings: Recordings | None = None
        self._queue: torch.cuda.Stream | None = None
        if student.device.type == 'cuda':
            self._late = _LATE
            self._recordings = Recordings(student, self.state, Recorder(student.device))
            self._queue = torch.cuda.Stream(student.device)  # type: ignore[no-untyped-call]
            self._queue.wait_stream(torch.cuda.current_stream(student.device))
        self._algorithm: Algorithm1 | None = None

    @contextmanager
    def apart(self) -> Iterator[None]:
        """
        On a GPU, work beside other trainers: all in this context goes into a queue of its own.

        What is done in it is finished when it ends.
        """
        if self._queue is None:
            yield
            return
        with torch.cuda.stream(self._queue):
            try:
                yield
            finally:
                self._queue.synchronize()

    @property
    def cold(self) -> bool:
        """Whether the next key frame belongs to the cold start."""
        most, state = self.settings.cold_start_key_frames, self.state
        return not state.was_good_enough and (most == 0 or state.lessons < most)

    @property
    def group(self) -> str:
        """The parameter group that the next key frame trains."""
        return self.settings.cold_start_group if self.cold else self.settings.group

    @property
    def limit(self) -> int:
        """The most steps that the next key frame may take."""
        return self.settings.cold_start_updates if self.cold else self.settings.max_updates

    def train(
        self, frame: Frame, labelling: Labelling, on_step: OnStep | None = None,
        most: int | None = None, memory: Sequence[Example] = (),
    ) -> Lesson:
        """
        Run Algorithm 1 and leave the best weights seen in the student.

        ``frame`` is BGR uint8 HxWx3. ``most`` is a limit of steps beside the settings'.
        ``on_step(step, metric, loss)`` is told of every step, step 0 being the untrained metric
        with loss NaN; on a GPU a little late. What it raises ends the training with the best
        weights in place. Raise BadFrame or BadLabelling before anything changes.
        """
        settings, state = self.settings, self.state
        group, limit = self.group, self.limit if most is None else min(self.limit, most)
        algorithm = self._algorithm_for(group, frame, labelling)
        state.lessons += 1
        algorithm.begin(settings.threshold, min(settings.min_updates, limit), limit,
                        settings.learning_rate)
        algorithm.read()
        reports: list[Variables] = []
        practise = (self._practice(algorithm, Example(frame, labelling), memory)
                    if settings.practice != NONE and limit > 1 else None)
        self._algorithm = algorithm
        try:
            for report in _run(algorithm, limit, self._late, practise):
                reports.append(report)
                if on_step is not None and (len(reports) == 1 or not report.broken):
                    on_step(int(report.steps), report.metric, report.loss)
        finally:
            last = algorithm.end()
            if last.broken:
                state.forget()
            state.was_good_enough |= last.best_metric >= settings.threshold
        return Lesson(group, reports[0].metric, last.best_metric, int(last.steps))

    def rehearse(
        self, frame: Frame, labelling: Labelling, steps: int, on_step: OnStep | None = None,
    ) -> None:
        """
        Take so many steps on a key frame for Adam's second moments alone: nothing else changes.

        They are the gradients' scale. Without them the first steps of a lesson are as long in
        every weight, and what a good student knows is lost. Raise as ``train`` does.
        """
        state = self.state
        weights = state.on_host(FULL)
        past = state.lessons, state.was_good_enough
        try:
            self.train(frame, labelling, on_step, steps)
        finally:
            state.begin_from(weights)
            state.lessons, state.was_good_enough = past

    def _practice(
        self, algorithm: Algorithm1, key_frame: Example, memory: Sequence[Example],
    ) -> Callable[[], None]:
        """Return what takes one step of practice."""
        random = np.random.default_rng(self.state.lessons)
        examples = [*memory, key_frame]
        student, settings = self.student, self.settings

        def practise() -> None:
            example = examples[random.integers(len(examples))]
            size = example.frame.shape[0], example.frame.shape[1]
            warp = Warp.draw(size, random) if settings.practice == AUGMENTED else None
            pixels, labelling = example_on(student.device, example, warp)
            algorithm.fill_practice(pixels, student.task.target(
                labelling, size, student.network.classes, student.device, settings.emphasis))
            algorithm.practise()
        return practise

    def compare(
        self, frame: Frame, labelling: Labelling, students: Iterable[Mapping[str, Tensor]],
    ) -> list[float]:
        """
        Return the metric, 0-1, of each of ``students``, whole ones, on a labelled key frame.

        The last one is the student then. Raise BadFrame or BadLabelling.
        """
        algorithm = self._algorithm_for(self.group, frame, labelling)
        metrics = []
        for tensors in students:
            self.state.load(tensors)
            algorithm.read()
            algorithm.judge()
            metrics.append(algorithm.report()().metric)
        return metrics

    def judge(self, tensors: Mapping[str, Tensor]) -> float:
        """
        Load ``tensors`` into the student; return its metric, 0-1, on the last key frame.

        Only between ``train`` and ``close``.
        """
        algorithm = self._last
        self.state.load(tensors)
        if not tensors.keys() <= self.state.weights(algorithm.group).keys():
            algorithm.read()  # its frozen front has changed
        algorithm.judge()
        return algorithm.report()().metric

    def answer(self) -> Mask:
        """Return the student's answer to the last key frame; only between train and close."""
        algorithm = self._last
        algorithm.read()
        algorithm.judge()
        assert algorithm.answer is not None
        answer: Mask = algorithm.answer.cpu().contiguous().numpy()
        return answer

    def close(self) -> None:
        """Forget the last key frame, which takes memory."""
        self._algorithm = None

    def _algorithm_for(self, group: str, frame: Frame, labelling: Labelling) -> Algorithm1:
        """Return Algorithm 1 on a key frame; the last one is forgotten."""
        student = self.student
        student.check(frame)
        target = student.task.target(
            labelling, (frame.shape[0], frame.shape[1]), student.network.classes, student.device,
            self.settings.emphasis)
        self.close()
        if self._recordings is None:
            return Algorithm1(student, self.state, group, student.pixels(frame), target)
        return self._recordings.of(group, frame, target)

    @property
    def _last(self) -> Algorithm1:
        if self._algorithm is None:
            raise RuntimeError('expected a lesson before')
        return self._algorithm


def _run(
    algorithm: Algorithm1, limit: int, late: int, practise: Callable[[], None] | None,
) -> Iterator[Variables]:
    """Yield the report of every look that counts, when up to ``late`` more are begun."""
    reports: deque[Callable[[], Variables]] = deque()
    begun = 0
    algorithm.look()
    reports.append(algorithm.report())
    while True:
        while begun < limit and len(reports) <= late:
            algorithm.step()
            begun += 1
            if practise is not None and begun < limit:
                practise()
                begun += 1
            algorithm.look()
            reports.append(algorithm.report())
        report = reports.popleft()()
        yield report
        if not report.live:
            return
