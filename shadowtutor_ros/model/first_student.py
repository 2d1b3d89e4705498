# SPDX-License-Identifier: Apache-2.0
"""The student that a robot begins with: shipped for its class set, random, or from a file."""

from __future__ import annotations

from pathlib import Path

import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.share import config_folder

DEFAULT = 'default'
RANDOM = 'random'


def first_student(
    checkpoint: str, classes: ClassSet, seed: int = 0, device: str | torch.device = 'cpu',
) -> Student:
    """
    Return the student that ``checkpoint`` names.

    ``random`` has weights of the ``seed``; ``default`` is the shipped student of the class set,
    and random where there is none; so does nothing. Anything else is a file. Raise
    CheckpointError.
    """
    checkpoint = checkpoint or DEFAULT
    info = StudentInfo(classes.names, classes.colours)
    if checkpoint not in (DEFAULT, RANDOM):
        return load_checkpoint(Path(checkpoint).expanduser(), info, device)
    student = Student.random(info, seed, device)
    path = config_folder() / 'students' / f'{classes.name}.safetensors'
    if checkpoint == DEFAULT and path.is_file():
        shipped = load_checkpoint(path, device=device)
        if shipped.layout_hash == student.layout_hash:  # not another set of that name
            student.load(shipped.weights(FULL))
    return student
