# SPDX-License-Identifier: Apache-2.0
"""Which teachers a tutor on this machine can have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
import importlib
from importlib.util import find_spec
from pathlib import PurePath
import shlex

from shadowtutor_ros.doctor.finding import Finding, OK, PROBLEM, SERVER, SKIPPED, WARNING
from shadowtutor_ros.doctor.fixes import pip, start, subcommand

TEACHER = 'teacher'
_DEFAULT = 'detectron2'


def package(name: str, modules: Sequence[str]) -> Finding:
    """Import the ``modules`` that the teacher ``name`` needs, the package first."""
    what = f'{TEACHER} {name}'
    if find_spec(modules[0]) is None:
        return Finding(SKIPPED, what, 'not installed')
    try:
        for module in modules:
            importlib.import_module(module)
    except Exception as error:  # built for another torch: RuntimeError, OSError, ImportError
        return Finding(
            WARNING, what, f'installed, but not for this torch: {type(error).__name__}: {error}',
            pip('--force-reinstall torch torchvision')
            if name == 'torchvision' else 'build it again with this torch')
    return Finding(OK, what, 'can be imported; without teacher_weights it fetches its own at its '
                   'first start')


def teacher_of(path: str, name: str = '') -> str:
    """Return the teacher that the weights ``path`` are for: ``name``, else by their suffix."""
    from shadowtutor_ros.teacher.factory import TEACHERS
    return name or next((row for row, known in TEACHERS.items()
                         if PurePath(path).suffix in known.suffixes), 'labels')


def weights(path: str, name: str = '') -> Finding:
    """Make the teacher that reads ``path``."""
    if not path:
        return Finding(SKIPPED, f'{TEACHER} weights', 'no --teacher-weights to try')
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.errors import ShadowTutorError
    from shadowtutor_ros.share import config_file
    from shadowtutor_ros.teacher.factory import create_teacher

    name = teacher_of(path, name)
    what = f'{TEACHER} {name}'
    try:
        create_teacher(name, ClassSet.load(config_file('lvs8', 'classes')), weights=path)
    except ShadowTutorError as error:
        return Finding(PROBLEM, what, str(error), _fetched() if name == 'yolo' else
            'see README.md, Teachers: what teacher_weights may be; --teacher says whose they are')
    return Finding(OK, what, f'{path} can be read')


def teacher(
    found: Collection[Finding], path: str, name: str = '', role: str = SERVER,
) -> Finding:
    """
    Judge whether the tutor gets a teacher, by all that was found of each.

    A machine that may be a robot's (``role``) has no problem without one.
    """
    levels: dict[str, list[str]] = {}
    for finding in found:
        levels.setdefault(finding.what.removeprefix(f'{TEACHER} '), []).append(finding.level)
    fine = [one for one, its in levels.items() if set(its) == {OK}]
    if not fine:
        return Finding(
            PROBLEM if role == SERVER else WARNING, TEACHER,
            f'none: a tutor needs {_DEFAULT} (the default), torchvision, or weights to be given'
            + ('' if role == SERVER else '; a robot needs none: --role robot'), _fetched())
    if _DEFAULT not in fine:
        given = ({'teacher_weights': shlex.quote(path)}
                 if path and fine[0] == teacher_of(path, name) else {})
        return Finding(WARNING, TEACHER, f'{", ".join(fine)}, but not the default {_DEFAULT}: '
                       'name it', start('tutor', teacher=fine[0], **given))
    return Finding(OK, TEACHER, ', '.join(fine))


def _fetched() -> str:
    return f'{subcommand("teacher fetch")}\n{start("tutor", teacher="yolo")}'
