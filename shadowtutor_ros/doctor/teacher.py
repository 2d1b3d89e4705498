# SPDX-License-Identifier: Apache-2.0
"""Which teachers a tutor on this machine can have."""

from __future__ import annotations

from collections.abc import Collection
import importlib
from importlib.util import find_spec
import shlex
import sys

from shadowtutor_ros.doctor.finding import Finding, OK, PROBLEM, SKIPPED, WARNING
from shadowtutor_ros.doctor.fixes import pip, start

TEACHER = 'teacher'
_DEFAULT = 'detectron2'
_MODULES = {'detectron2': ('detectron2', 'detectron2.model_zoo', 'detectron2.engine'),
            'torchvision': ('torchvision', 'torchvision.models.detection')}
# Prints the path of yolov7-seg.pt, and fetches it before where it is not there yet.
_FETCHED = (f'"$({sys.executable} -c '
            "'from shadowtutor_ros.assets import teacher_weights as w; print(w())')\"")


def package(name: str) -> Finding:
    """Import the package of the teacher ``name``: detectron2 or torchvision."""
    what = f'{TEACHER} {name}'
    module, *parts = _MODULES[name]
    if find_spec(module) is None:
        return Finding(SKIPPED, what, 'not installed')
    try:
        for part in (module, *parts):
            importlib.import_module(part)
    except Exception as error:  # built for another torch: RuntimeError, OSError, ImportError
        return Finding(
            WARNING, what, f'installed, but not for this torch: {type(error).__name__}: {error}',
            pip('--force-reinstall torch torchvision')
            if name == 'torchvision' else 'build it again with this torch')
    return Finding(OK, what, 'can be imported; it fetches its COCO weights at its first start')


def weights(path: str) -> Finding:
    """Make the teacher that reads ``path``: yolo of a .pt file, else labels."""
    if not path:
        return Finding(SKIPPED, f'{TEACHER} yolo/labels', 'no --teacher-weights to try')
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.errors import ShadowTutorError
    from shadowtutor_ros.share import config_file
    from shadowtutor_ros.teacher.factory import create_teacher

    name = 'yolo' if path.endswith(('.pt', '.pth')) else 'labels'
    what = f'{TEACHER} {name}'
    try:
        create_teacher(name, ClassSet.load(config_file('lvs8', 'classes')), weights=path)
    except ShadowTutorError as error:
        return Finding(PROBLEM, what, str(error), start(
            'tutor', teacher='yolo', teacher_weights=_FETCHED) if name == 'yolo' else
            'see README.md, Teachers: what label maps may look like')
    return Finding(OK, what, f'{path} can be read')


def teacher(found: Collection[Finding], weights: str) -> Finding:
    """Judge whether the tutor gets a teacher, by what was found of each; ``weights`` is a path."""
    names = [f.what.removeprefix(f'{TEACHER} ') for f in found if f.level == OK]
    if not names:
        return Finding(
            PROBLEM, TEACHER, f'none: a tutor needs {_DEFAULT} (the default), torchvision, or '
            'weights to be given', start('tutor', teacher='yolo', teacher_weights=_FETCHED))
    if _DEFAULT not in names:
        given = {} if names[0] == 'torchvision' else {'teacher_weights': shlex.quote(weights)}
        return Finding(WARNING, TEACHER, f'{", ".join(names)}, but not the default {_DEFAULT}: '
                       'name it', start('tutor', teacher=names[0], **given))
    return Finding(OK, TEACHER, ', '.join(names))
