# SPDX-License-Identifier: Apache-2.0
"""Teachers by name."""

from __future__ import annotations

from pathlib import Path

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.protocol import Teacher, TeacherError

TEACHERS = ('detectron2', 'torchvision', 'yolo', 'labels')


def create_teacher(
    name: str,
    classes: ClassSet,
    *,
    weights: str = '',
    device: str = 'cpu',
    score_threshold: float = 0.5,
    fps: float = 25.0,
) -> Teacher:
    """
    Return the teacher ``name``; ``weights`` is its file, for ``labels`` the label maps.

    ``fps`` is only for ``labels``: maps per second of stamps. Raise TeacherError for an unknown
    name or missing weights, TeacherUnavailable when its package is not installed.
    """
    if name in ('yolo', 'labels') and not weights:
        raise TeacherError(f'teacher {name}: teacher_weights must name its file or folder')
    path = Path(weights).expanduser()
    match name:
        case 'detectron2':
            from shadowtutor_ros.teacher.detectron2 import Detectron2Teacher
            return Detectron2Teacher(classes, device, score_threshold)
        case 'torchvision':
            from shadowtutor_ros.teacher.torchvision import TorchvisionTeacher
            return TorchvisionTeacher(classes, device, score_threshold)
        case 'yolo':
            from shadowtutor_ros.teacher.yolo import YoloTeacher
            return YoloTeacher(path, classes, device, score_threshold)
        case 'labels' if path.suffix == '.npy':
            from shadowtutor_ros.teacher.lvs import LvsTeacher
            return LvsTeacher(path, classes, fps, score_threshold)
        case 'labels':
            from shadowtutor_ros.teacher.labels import LabelsTeacher
            return LabelsTeacher(path, classes, fps)
    raise TeacherError(f'teacher: expected one of {", ".join(TEACHERS)}, got {name!r}')
