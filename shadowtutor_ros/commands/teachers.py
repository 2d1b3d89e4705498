# SPDX-License-Identifier: Apache-2.0
"""The teacher of a subcommand: the arguments that say which, and what makes it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.evaluation.clip import Clip
    from shadowtutor_ros.teacher.protocol import Teacher

# Teachers that are fetched by name; others are teachers of the tutor node.
FETCHED = ('yolov7-seg', 'yolov5s-seg')


def add_teacher_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``--teacher``, ``--teacher-weights`` and ``--labels``."""
    parser.add_argument('--teacher', default='yolov7-seg', metavar='NAME',
                        help=f'{", ".join(FETCHED)} (fetched), or a teacher of tutor_node '
                             '(default %(default)s)')
    parser.add_argument('--teacher-weights', type=Path, metavar='FILE',
                        help='weights of a teacher of tutor_node')
    parser.add_argument('--labels', type=Path, metavar='DIR',
                        help='given label maps instead of a teacher: of the video, or for '
                             'several videos DIR/<name of the video without its suffix>')


def teachers(
    arguments: argparse.Namespace, classes: ClassSet, device: str, several: bool,
) -> Callable[[Clip], Teacher]:
    """Return what makes the teacher of a clip; a network is loaded once."""
    from shadowtutor_ros.teacher.factory import create_teacher
    if arguments.labels is not None:
        def given(clip: Clip) -> Teacher:
            path = arguments.labels / clip.path.stem if several else arguments.labels
            return create_teacher(
                'labels', classes, weights=str(path), fps=clip.fps * clip.every)
        return given
    name, weights = teacher_and_weights(arguments)
    teacher = create_teacher(name, classes, weights=weights, device=device)
    return lambda clip: teacher


def teacher_and_weights(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the name of a teacher of tutor_node and its ``teacher_weights``."""
    from shadowtutor_ros.assets import teacher_weights
    if arguments.teacher in FETCHED:
        return 'yolo', str(teacher_weights(f'{arguments.teacher}.pt'))
    return arguments.teacher, str(arguments.teacher_weights or '')
