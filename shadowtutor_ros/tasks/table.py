# SPDX-License-Identifier: Apache-2.0
"""Tasks by name."""

from __future__ import annotations

from typing import Any

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.tasks.detection.task import Detection
from shadowtutor_ros.tasks.protocol import Task
from shadowtutor_ros.tasks.segmentation.task import Segmentation

SEGMENTATION = 'segmentation'
DETECTION = 'detection'

TASKS: dict[str, Task[Any]] = {SEGMENTATION: Segmentation(), DETECTION: Detection()}


class UnknownTask(ShadowTutorError):
    """A student was made for a task that this release does not have."""


def task_named(name: str) -> Task[Any]:
    """Return the task ``name``; raise UnknownTask."""
    if name not in TASKS:
        raise UnknownTask(f'task: expected one of {", ".join(TASKS)}, got {name!r}')
    return TASKS[name]
