# SPDX-License-Identifier: Apache-2.0
"""The table of teachers: a new one is a class and a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.protocol import Teacher, TeacherError, TeacherOptions


@dataclass(frozen=True)
class TeacherRow:
    """
    A teacher of the table.

    ``make`` is its class, or a function; ``weights`` says what ``teacher_weights`` is to it, in
    a few words; ``suffixes`` are those of files that are taken for its where nobody says whose
    they are; ``modules`` those of a package that it needs and this one does not require.
    """

    make: Callable[[TeacherOptions], Teacher]
    weights: str
    suffixes: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def lazily(name: str) -> Callable[[TeacherOptions], Teacher]:
    """Return what calls ``module:name``, which is imported only then."""
    def make(options: TeacherOptions) -> Teacher:
        teacher: Teacher = resolve_name(name)(options)
        return teacher
    return make


TEACHERS = {
    'detectron2': TeacherRow(
        lazily('shadowtutor_ros.teacher.detectron2:Detectron2Teacher'),
        "a .pkl or .pth file, empty for the model zoo's", ('.pkl',),
        ('detectron2', 'detectron2.model_zoo', 'detectron2.engine')),
    'torchvision': TeacherRow(
        lazily('shadowtutor_ros.teacher.torchvision:TorchvisionTeacher'),
        'a .pth file, empty for its COCO weights', ('.pth',),
        ('torchvision', 'torchvision.models.detection')),
    'yolo': TeacherRow(
        lazily('shadowtutor_ros.teacher.yolo:YoloTeacher'),
        'the .pt file, empty for what `shadowtutor teacher fetch` has fetched', ('.pt',)),
    'labels': TeacherRow(
        lazily('shadowtutor_ros.teacher.labels:given_labels'),
        'the folder, .npz, .h5 or LVS .npy of label maps'),
}


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
    Return the teacher ``name`` of the table; the rest are its TeacherOptions.

    ``weights`` is a local file or folder, ``~`` the home; empty for what the package has.
    Raise TeacherError for an unknown name, for weights that are damaged, of another network or
    needed and not given, TeacherUnavailable for a missing package or file.
    """
    if name not in TEACHERS:
        raise TeacherError(f'teacher: expected one of {", ".join(TEACHERS)}, got {name!r}')
    return TEACHERS[name].make(TeacherOptions(
        name, classes, Path(weights).expanduser() if weights else None, device,
        score_threshold, fps))
