# SPDX-License-Identifier: Apache-2.0
"""Key frames for tests of Algorithm 1, and Algorithm 1 as one would write it down first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, parameters_of
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.teacher.protocol import Labelling

INFO = StudentInfo(('cat', 'dog', 'background'))
# Not 48 wide: SB3's two columns would be upsampled to three, the middle one the mean of both.
# A norm makes 0 of it but for rounding, and that is where ReLU's gradient leaps.
SIZE = 32, 64

Image = NDArray[np.uint8]
Weights = dict[str, Tensor]


def frame_of(seed: int = 0, size: tuple[int, int] = SIZE) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def labelling_of(seed: int = 0, size: tuple[int, int] = SIZE) -> Labelling:
    rng = np.random.default_rng(seed)
    label, boxes = np.full(size, 2, np.uint8), []
    for class_id in (0, 1):
        top, left = rng.integers(0, size[0] // 2), rng.integers(0, size[1] // 2)
        label[top:top + size[0] // 3, left:left + size[1] // 3] = class_id
        boxes.append((left, top, left + size[1] // 3, top + size[0] // 3))
    return Labelling(label, np.array(boxes, np.float32))


def copy_of(student: Student) -> Weights:
    return {name: t.clone() for name, t in student.weights(FULL).items()}


class FineStudent(Student):
    """Computes in double precision, if that is torch's default when it is made."""

    def normalise(self, pixels: Tensor) -> Tensor:
        return super().normalise(pixels).double()


class PlainTrainer:
    """The paper's loop with torch's Adam, by the product's network and task."""

    def __init__(self, student: Student, settings: DistillSettings) -> None:
        self.student, self.settings = student, settings
        self._adam = torch.optim.Adam(student.network.parameters(), lr=settings.learning_rate)

    def train(
        self, frame: Image, labelling: Labelling, group: str, limit: int, steps_per_look: int = 1,
        layout: torch.memory_format = torch.preserve_format,
    ) -> list[float]:
        """
        Return the metric before the steps and after each; leave the best weights.

        Kernels and picture lie in memory as ``layout`` says.
        """
        network, settings = self.student.network, self.settings
        trained = parameters_of(network, group)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        network.to(memory_format=layout)  # type: ignore[call-overload]
        x = self.student.prepare(frame).contiguous(memory_format=(
            torch.contiguous_format if layout is torch.preserve_format else layout))
        size, task = (frame.shape[0], frame.shape[1]), self.student.task
        target = task.target(labelling, size, network.classes, emphasis=settings.emphasis)
        metrics: list[float] = []
        best: Weights = {}
        while True:
            output = network.back(network.front(x))
            metrics.append(float(task.metric(task.answer(output.detach(), size), target)))
            if metrics[-1] > max(metrics[:-1], default=-1):
                best = copy_of(self.student)
            if (max(metrics) >= settings.threshold
                    or (len(metrics) - 1) * steps_per_look >= limit):
                self.student.load(best)
                return metrics
            for step in range(steps_per_look):
                if step:
                    output = network.back(network.front(x))
                self._adam.zero_grad()
                task.loss(output, target).backward()
                self._adam.step()
