# SPDX-License-Identifier: Apache-2.0
"""One stream's student at the tutor, with the versions that the robot may run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shadowtutor_ros.distill.metric import mean_iou_of_masks
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Lesson, OnStep, Trainer
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Frame, Student


class Session:
    """
    A student copy, its trainer and its version count.

    Version 0 is the first student. ``base_version`` is the version at which the frozen front
    last changed: a robot that runs an older one cannot use a partial update.
    """

    def __init__(self, session_id: int, student: Student, settings: DistillSettings) -> None:
        self.session_id = session_id
        self.student = student
        self.version = 0
        self.base_version = 0
        self._trainer = Trainer(student, settings)

    def change(self, settings: DistillSettings) -> None:
        """Train by other settings from the next key frame on; the learning rate stays."""
        self._trainer.settings = settings

    def learn(
        self,
        frame: Frame,
        label: NDArray[np.uint8],
        boxes: NDArray[np.float32],
        on_step: OnStep | None = None,
    ) -> Lesson:
        """
        Train on one labelled key frame (see Trainer.train) and count a new version.

        The version counts even when the training raises: it may have changed the weights.
        """
        self.version += 1
        if self._trainer.group == FULL:
            self.base_version = self.version
        return self._trainer.train(frame, label, boxes, on_step)

    def group_for(self, session_id: int, version: int, group: str) -> str:
        """Return what a robot at ``version`` needs: ``group``, or ``full`` if its front is old."""
        known = session_id == self.session_id and self.base_version <= version < self.version
        return group if known else FULL

    def renew(self) -> None:
        """Count a new version because the whole student will change by being encoded."""
        self.version += 1
        self.base_version = self.version

    def judge(
        self, tensors: Mapping[str, Tensor], frame: Frame, label: NDArray[np.uint8],
    ) -> float:
        """Adopt ``tensors`` and return the mIoU (0-1) of their mask of ``frame``."""
        self.adopt(tensors)
        mask = self.student.segment(frame)
        return mean_iou_of_masks(mask, label, len(self.student.info.class_names))

    def adopt(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the weights as the robot will have them, so that both stay bit-identical."""
        self.student.load(tensors)
