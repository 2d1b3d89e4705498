# SPDX-License-Identifier: Apache-2.0
"""All that it takes to make a tutor, here or in another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.stream_states import StreamStates
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.snapshot import array_of
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import Teacher


@dataclass(frozen=True)
class TeacherRecipe:
    """A teacher by its name in the table of teachers, with what ``create_teacher`` takes."""

    name: str
    classes: ClassSet
    weights: str
    score_threshold: float = 0.5
    fps: float = 25.0

    def make(self, device: torch.device) -> Teacher:
        """Return the teacher; raise TeacherError."""
        return create_teacher(
            self.name, self.classes, device=str(device), weights=self.weights,
            score_threshold=self.score_threshold, fps=self.fps)


@dataclass(frozen=True)
class TutorRecipe:
    """
    A teacher, the first student of all streams and the settings; can be sent to a process.

    ``device`` is what torch calls it, or ``auto``; ``threads`` are torch's, 0: as it likes.
    """

    teacher: TeacherRecipe
    info: StudentInfo
    weights: Mapping[str, NDArray[np.float32]]
    settings: TutorSettings
    device: str = 'auto'
    threads: int = 0

    @classmethod
    def of(
        cls, teacher: TeacherRecipe, first: Student, settings: TutorSettings, device: str,
        threads: int,
    ) -> TutorRecipe:
        """Return the recipe of a tutor whose streams begin with ``first``."""
        weights = {name: array_of(tensor) for name, tensor in first.weights(FULL).items()}
        return cls(teacher, first.info, weights, settings, device, threads)

    @property
    def layout_hash(self) -> int:
        """What tells its students from all that cannot run their weights."""
        return Student(self.info, self.info.network(), torch.device('cpu')).layout_hash

    def make(self, states: StreamStates | None = None) -> Tutor:
        """
        Return a tutor in this process that keeps what it taught in ``states``.

        Raise what the device, the teacher or Tutor raises.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        device = pick_device(self.device)
        student = Student(self.info, self.info.network(), device)
        student.load({name: torch.from_numpy(array.copy())
                      for name, array in self.weights.items()})
        return Tutor(self.teacher.make(device), student, self.settings, states)
