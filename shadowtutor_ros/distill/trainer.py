# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1: train a student on one labelled key frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.distill.loss import DistillationLoss, pixel_weights
from shadowtutor_ros.distill.metric import mean_iou
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.groups import FULL, parameters_of, PARTIAL
from shadowtutor_ros.model.mask import mask_from_logits
from shadowtutor_ros.model.student import Frame, Student

OnStep = Callable[[int, float, float], None]


@dataclass(frozen=True)
class Lesson:
    """What one key frame did: metrics are mIoU 0-1, ``steps`` distillation steps taken."""

    group: str
    initial_metric: float
    metric: float
    steps: int


class Trainer:
    """Trains one student; Adam's moments live as long as it does, over all key frames."""

    def __init__(self, student: Student, settings: DistillSettings) -> None:
        self.student = student
        self.settings = settings
        self.cold = True
        self._lessons = 0
        self._optimizer = self._new_optimizer()

    @property
    def group(self) -> str:
        """The parameter group that the next key frame trains."""
        return self.settings.cold_start_group if self.cold else self.settings.group

    def train(
        self,
        frame: Frame,
        label: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        on_step: OnStep | None = None,
    ) -> Lesson:
        """
        Run Algorithm 1 and leave the best weights seen in the student.

        ``frame`` is BGR uint8 HxWx3, ``label`` HxW class ids, ``boxes`` Nx4 in pixels.
        ``on_step(step, metric, loss)`` is told of every step, step 0 being the untrained
        metric with loss NaN; what it raises ends the training with the best weights in place.
        Raise ValueError when the label's size is not the frame's or an id is no class.
        """
        self._check(frame, label)
        self._lessons += 1
        settings = self.settings
        group = self.group
        limit = settings.cold_start_updates if self.cold else settings.max_updates
        target = torch.from_numpy(label).to(self.student.device, torch.int64)
        weights = pixel_weights(
            label.shape, boxes, settings.object_weight, settings.box_margin,
        ).to(self.student.device)
        loss_of = DistillationLoss(target, weights)
        forward = self._forward(frame, group)
        parameters = parameters_of(self.student.network, group)
        best = {name: p.detach().clone() for name, p in parameters.items()}

        logits = forward()
        initial = best_metric = self._metric(logits, target)
        steps = 0
        if on_step is not None:
            on_step(0, initial, math.nan)
        try:
            while best_metric < settings.threshold and steps < limit:
                loss = loss_of(logits)
                if not torch.isfinite(loss):
                    self._optimizer = self._new_optimizer()
                    break
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                steps += 1
                logits = forward()
                if not torch.isfinite(logits).all():
                    self._optimizer = self._new_optimizer()
                    break
                metric = self._metric(logits, target)
                if metric > best_metric:
                    best_metric = metric
                    for name, parameter in parameters.items():
                        best[name].copy_(parameter.detach())
                if on_step is not None:
                    on_step(steps, metric, float(loss.detach()))
        finally:
            self.student.load(best)
        if best_metric >= settings.threshold or self._lessons == settings.cold_start_key_frames:
            self.cold = False
        return Lesson(group, initial, best_metric, steps)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            self.student.network.parameters(), lr=self.settings.learning_rate)

    def _forward(self, frame: Frame, group: str) -> Callable[[], Tensor]:
        """Return a function that computes stem logits of ``frame`` by the present weights."""
        network = self.student.network
        trained = parameters_of(network, group).keys()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        # With torch 2.13 gradients through the whole network in channels_last corrupted the heap
        # on some CPUs.
        plain = group == FULL and self.student.device.type == 'cpu'
        layout = torch.contiguous_format if plain else torch.channels_last
        network.to(memory_format=layout)  # type: ignore[call-overload]
        x = self.student.prepare(frame).contiguous(memory_format=layout)
        if group == PARTIAL:
            with torch.no_grad():
                features = network.front(x)
            return lambda: network.stem_logits(features)
        return lambda: network.stem_logits(network.front(x))

    def _metric(self, logits: Tensor, target: Tensor) -> float:
        size = (target.shape[0], target.shape[1])
        prediction = mask_from_logits(logits.detach(), size)
        return mean_iou(prediction, target, len(self.student.info.class_names))

    def _check(self, frame: Frame, label: NDArray[np.uint8]) -> None:
        if label.shape != frame.shape[:2]:
            raise ValueError(f'label has size {label.shape}, the frame {frame.shape[:2]}')
        classes = len(self.student.info.class_names)
        if label.size and int(label.max()) >= classes:
            raise ValueError(f'label has class id {label.max()}, '
                             f'the student only 0 to {classes - 1}')
