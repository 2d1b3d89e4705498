# SPDX-License-Identifier: Apache-2.0
"""An Inference that answers later, from another thread."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
import threading

from torch import Tensor

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Mask, Student


class Elsewhere:
    """A copy of the student that works in another thread, when it may ``go``."""

    def __init__(self, student: Student) -> None:
        self.go = threading.Event()
        self.frames = 0
        self.versions: list[int] = []
        self._student, self._copy = student, student.clone()
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(self.go.wait)

    def submit(self, frame: Frame) -> Future[Mask]:
        self.frames += 1
        return self._thread.submit(self._copy.segment, frame)

    def load(self, tensors: Mapping[str, Tensor], version: int) -> None:
        self._student.load(tensors)
        self._thread.submit(self._copy.load, tensors)
        self.versions.append(version)

    def close(self) -> None:
        self.go.set()
        self._thread.shutdown()
