# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor student``: a checkpoint of what a robot has learnt."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from shadowtutor_ros.commands.arguments import positive

if TYPE_CHECKING:
    from shadowtutor_ros.model.student import Student


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(required=True, metavar='ACTION')
    save = actions.add_parser(
        'save', help="write a stream's student as a checkpoint",
        description='Writes the student that a robot runs, from the tutor that teaches it or '
                    'from what either of them has kept, as a file for checkpoint:= of robots '
                    'and tutors.')
    save.add_argument('out', type=Path, metavar='OUT.safetensors')
    save.add_argument('--stream', default='', metavar='ID',
                      help='of several streams (default: the only one)')
    save.add_argument('--tutor', default='/tutor', metavar='NODE',
                      help='the tutor that runs (default %(default)s)')
    save.add_argument('--state-folder', type=Path, metavar='DIR',
                      help="a robot's or tutor's, in place of a tutor that runs")
    save.add_argument('--classes', default='lvs8', metavar='SET',
                      help="of a tutor's state folder (default %(default)s)")
    save.add_argument('--timeout', type=positive, default=10.0, metavar='SECONDS',
                      help='for the tutor (default %(default)g)')


def run(arguments: argparse.Namespace) -> int:
    """Write the checkpoint."""
    from shadowtutor_ros.model.checkpoint import CheckpointError, save_checkpoint

    out: Path = arguments.out
    if out.suffix != '.safetensors':
        raise CheckpointError(f'{out}: expected a name that ends with .safetensors')
    if not out.parent.is_dir():
        raise CheckpointError(f'{out}: there is no folder {out.parent}')
    if arguments.state_folder is not None:
        what, student = _kept(arguments.state_folder, arguments.stream, arguments.classes)
    else:
        what, student = _running(arguments.tutor, arguments.stream, arguments.timeout)
    save_checkpoint(student, out)
    print(f'{out}: {what}, {len(student.info.class_names)} classes')
    return 0


def _running(tutor: str, stream: str, timeout: float) -> tuple[str, Student]:
    from shadowtutor_ros.nodes.student_fetch import fetch_student

    stream, version, student = fetch_student(tutor, stream, timeout)
    return f'version {version} of {stream!r}', student


def _kept(folder: Path, stream: str, classes: str) -> tuple[str, Student]:
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.model.student import StudentInfo
    from shadowtutor_ros.runtime.kept import kept_streams, kept_student, NoSuchStudent
    from shadowtutor_ros.share import config_file

    found = kept_streams(folder)
    if not stream and len(found) == 1:
        stream = next(iter(found))
    if stream not in found:
        raise NoSuchStudent(f'{folder}: expected one of its streams, '
                            f'{", ".join(map(repr, sorted(found)))}; got {stream!r}')
    known = ClassSet.load(config_file(classes, 'classes'))
    return repr(stream), kept_student(found[stream], StudentInfo(known.names, known.colours))
