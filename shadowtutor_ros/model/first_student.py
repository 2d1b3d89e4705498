# SPDX-License-Identifier: Apache-2.0
"""The student that a robot begins with: shipped for its class set, random, or from a file."""

from __future__ import annotations

from pathlib import Path

import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.groups import FULL, shapes_of
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import OF_TASK
from shadowtutor_ros.share import config_folder
from shadowtutor_ros.tasks.table import UnknownTask

DEFAULT = 'default'
RANDOM = 'random'
AUTO = 'auto'


def first_student(
    checkpoint: str, classes: ClassSet, seed: int = 0, device: str | torch.device = 'cpu',
    task: str = AUTO,
) -> Student:
    """
    Return the student that ``checkpoint`` names, for ``task``; ``auto`` is the checkpoint's.

    ``random`` has weights of the ``seed``; ``default`` is the shipped student of the class set,
    and random where there is none; so does nothing. Both are for segmentation. Anything else is
    a file. A student of another task begins with what it has in common with that student, which
    is all but the last layers for those of this package. Raise CheckpointError, and UnknownTask
    for a task that has no architecture here.
    """
    checkpoint = checkpoint or DEFAULT
    found = _found(checkpoint, classes, seed, device)
    if task in (AUTO, found.info.task):
        return found
    if task not in OF_TASK:
        raise UnknownTask(f'task: expected one of {", ".join(OF_TASK)}, or a checkpoint of a '
                          f'student for it, got {task!r}')
    student = Student.random(StudentInfo(
        classes.names, classes.colours, found.info.mean, found.info.std, task, OF_TASK[task]),
        seed, device)
    if checkpoint != RANDOM:
        own, shapes = found.weights(FULL), shapes_of(student.weights(FULL))
        student.load({name: tensor for name, tensor in own.items()
                      if shapes.get(name) == tuple(tensor.shape)})
    return student


def _found(
    checkpoint: str, classes: ClassSet, seed: int, device: str | torch.device,
) -> Student:
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
