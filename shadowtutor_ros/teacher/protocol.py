# SPDX-License-Identifier: Apache-2.0
"""What a teacher is: anything that labels a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import ClassSet, largest_id
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.frame import Frame

if TYPE_CHECKING:  # the table of teachers is read without torch
    import torch
    from torch import Tensor


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
                f'teacher {self.name}: teacher_weights must name its file or folder; '
                "`shadowtutor teacher fetch` gets yolo's")
        return self.weights


@dataclass(frozen=True)
class StampedFrame:
    """A BGR uint8 HxWx3 frame and its media time in seconds."""

    frame: Frame
    stamp: float = 0.0


@dataclass(frozen=True, eq=False)
class Labelling:
    """
    What a teacher says of one frame.

    ``label_map`` is HxW uint8 ids of the class set, where the teacher made it: an array, or a
    tensor whose device has finished it. It crosses to another device by ``class_ids_on``, and to
    the host when ``class_ids`` is first asked for. ``boxes``, Nx4 float32 x1, y1, x2, y2 in
    pixels of the objects in it, ``scores``, their N confidences, 0-1, and ``box_ids``, their N
    class ids, are on the host from the start; without ``box_ids`` only the map says what is in a
    box. A labelling is equal to none but itself.
    """

    label_map: NDArray[np.uint8] | Tensor = field(repr=False)
    boxes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    box_ids: NDArray[np.uint8] | None = None

    @cached_property
    def class_ids(self) -> NDArray[np.uint8]:
        """The HxW uint8 label map on the host."""
        if isinstance(self.label_map, np.ndarray):
            return self.label_map
        here: NDArray[np.uint8] = self.label_map.cpu().numpy()
        return here

    @cached_property
    def largest_id(self) -> int:
        """The largest class id in the label map, -1 if it has none; asked where it lies."""
        return largest_id(self.label_map) if 0 not in self.label_map.shape else -1

    def class_ids_on(self, device: str | torch.device) -> Tensor:
        """Return the HxW uint8 label map on ``device``; where it lies there, it is no copy."""
        import torch

        from shadowtutor_ros.upload import upload
        if isinstance(self.label_map, np.ndarray):
            return upload(self.label_map, device)
        if self.label_map.is_cuda:  # its memory is not given away before this reader is done
            self.label_map.record_stream(torch.cuda.current_stream(self.label_map.device))
        return self.label_map.to(device)


class Teacher(Protocol):
    """Labels frames; ``name`` and ``version`` (its weights) identify its answers."""

    name: str
    version: str

    def label(self, frame: NDArray[np.uint8], stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame of media time ``stamp`` seconds."""


@runtime_checkable
class BatchTeacher(Teacher, Protocol):
    """A teacher that several frames together cost less than one by one."""

    def label_many(self, frames: Sequence[StampedFrame]) -> list[Labelling]:
        """Label frames of any sizes; return the labelling of each in their order."""
