# SPDX-License-Identifier: Apache-2.0
"""What people see of an answer: a map of class ids, whatever the task."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.tasks.protocol import Task
from shadowtutor_ros.teacher.protocol import Labelling


@runtime_checkable
class DrawnTask(Protocol):
    """What a task has whose answers are no maps of class ids."""

    def perfect(self, labelling: Labelling, classes: int) -> NDArray[Any]:
        """Return the answer of a student that says what the teacher says."""

    def drawing(
        self, answer: NDArray[Any], size: tuple[int, int], classes: int,
    ) -> NDArray[np.uint8]:
        """Return the HxW uint8 class ids that show an answer to a frame of ``size`` (H, W)."""


def perfect_answer(task: Task[Any], labelling: Labelling, classes: int) -> NDArray[Any]:
    """Return the answer of a student that says what the teacher says."""
    return task.perfect(labelling, classes) if isinstance(task, DrawnTask) else labelling.class_ids


def drawing_of(
    task: Task[Any], answer: NDArray[Any], size: tuple[int, int], classes: int,
) -> NDArray[np.uint8]:
    """Return the HxW uint8 class ids that show an answer to a frame of ``size`` (H, W)."""
    return task.drawing(answer, size, classes) if isinstance(task, DrawnTask) else answer
