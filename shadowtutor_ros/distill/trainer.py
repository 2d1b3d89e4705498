# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1: train a student on one labelled key frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

import torch
from torch import Tensor

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL, parameters_of, PARTIAL
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.teacher.protocol import Labelling

OnStep = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Lesson:
    """What one key frame did: metrics are the task's, 0-1, ``steps`` distillation steps taken."""

    group: str
    initial_metric: float
    metric: float
    steps: int


class Trainer:
    """Trains one student; Adam's moments live as long as it does, over all key frames."""

    def __init__(self, student: Student, settings: DistillSettings) -> None:
        self.student = student
        self.settings = settings
        self._lessons = 0
        self._was_good_enough = False
        self._optimizer = self._new_optimizer()

    @property
    def cold(self) -> bool:
        """Whether the next key frame belongs to the cold start."""
        most = self.settings.cold_start_key_frames
        return not self._was_good_enough and (most == 0 or self._lessons < most)

    @property
    def group(self) -> str:
        """The parameter group that the next key frame trains."""
        return self.settings.cold_start_group if self.cold else self.settings.group

    def train(
        self, frame: Frame, labelling: Labelling, on_step: OnStep | None = None,
    ) -> Lesson:
        """
        Run Algorithm 1 and leave the best weights seen in the student.

        ``frame`` is BGR uint8 HxWx3. ``on_step(step, metric, loss)`` is told of every step, step
        0 being the untrained metric with loss NaN; what it raises ends the training with the best
        weights in place. Raise BadFrame or BadLabelling before anything changes.
        """
        self.student.check(frame)
        student, task, settings = self.student, self.student.task, self.settings
        size = frame.shape[0], frame.shape[1]
        target = task.target(
            labelling, size, student.network.classes, student.device, settings.emphasis)
        group = self.group
        limit = settings.cold_start_updates if self.cold else settings.max_updates
        self._lessons += 1
        forward = self._forward(frame, group)
        parameters = parameters_of(student.network, group)
        best = {name: p.detach().clone() for name, p in parameters.items()}

        def metric_of(output: Tensor) -> float:
            return task.metric(task.answer(output.detach(), size), target)

        output = forward()
        initial = best_metric = metric_of(output)
        steps = 0
        try:
            if on_step is not None:
                on_step(0, initial, math.nan)
            while best_metric < settings.threshold and steps < limit:
                loss = task.loss(output, target)
                if not torch.isfinite(loss):
                    self._optimizer = self._new_optimizer()
                    break
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                steps += 1
                output = forward()
                if not torch.isfinite(output).all():
                    self._optimizer = self._new_optimizer()
                    break
                metric = metric_of(output)
                if metric > best_metric:
                    best_metric = metric
                    for name, parameter in parameters.items():
                        best[name].copy_(parameter.detach())
                if on_step is not None:
                    on_step(steps, metric, float(loss.detach()))
        finally:
            student.load(best)
            self._was_good_enough |= best_metric >= settings.threshold
        return Lesson(group, initial, best_metric, steps)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.student.network.parameters(), lr=self.settings.learning_rate)

    def _forward(self, frame: Frame, group: str) -> Callable[[], Tensor]:
        """Return a function that computes the output for ``frame`` by the present weights."""
        network = self.student.network
        trained = parameters_of(network, group).keys()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        # With torch 2.13 gradients through the whole network in channels_last corrupted the heap
        # on some CPUs.
        plain = group == FULL and self.student.device.type == 'cpu'
        layout = torch.contiguous_format if plain else torch.channels_last
        network.to(memory_format=layout)
        x = self.student.prepare(frame).contiguous(memory_format=layout)
        if group == PARTIAL:
            with torch.no_grad():
                features = network.front(x)
            return lambda: network.back(features)
        return lambda: network.back(network.front(x))
