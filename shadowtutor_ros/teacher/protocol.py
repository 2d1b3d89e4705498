# SPDX-License-Identifier: Apache-2.0
"""What a teacher is: anything that labels a frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.errors import ShadowTutorError


class TeacherError(ShadowTutorError):
    """A teacher cannot be made or cannot label a frame."""


class TeacherUnavailable(TeacherError):
    """A teacher needs software or weights that are not installed."""


@dataclass(frozen=True)
class TeacherOptions:
    """
    What every teacher is made from.

    ``name`` is its row in the table; ``weights`` its file or folder, None for what its package
    has; ``device`` torch's; detections below ``score_threshold`` (0-1) are no objects; ``fps``
    is for given labels, frames per second of stamps.
    """

    name: str
    classes: ClassSet
    weights: Path | None = None
    device: str = 'cpu'
    score_threshold: float = 0.5
    fps: float = 25.0

    @property
    def needed_weights(self) -> Path:
        """``weights`` for a teacher that has no others; raise TeacherError when it is None."""
        if self.weights is None:
            raise TeacherError(
                f'teacher {self.name}: teacher_weights must name its file or folder')
        return self.weights


@dataclass(frozen=True)
class Labelling:
    """
    What a teacher says of one frame.

    ``class_ids`` is HxW uint8 ids of the class set; ``boxes`` Nx4 float32 x1, y1, x2, y2 in
    pixels of the objects in it, ``scores`` their N confidences, 0-1.
    """

    class_ids: NDArray[np.uint8]
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


class Teacher(Protocol):
    """Labels frames; ``name`` and ``version`` (its weights) identify its answers."""

    name: str
    version: str

    def label(self, frame: NDArray[np.uint8], stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame of media time ``stamp`` seconds."""
