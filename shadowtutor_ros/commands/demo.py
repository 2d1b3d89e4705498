# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor demo``: a robot and a tutor on one video, over DDS."""

from __future__ import annotations

import argparse
from pathlib import Path

from shadowtutor_ros.commands.arguments import add_topic, positive_int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument('--video', type=Path, help='any video; default: a fetched clip')
    add_topic(parser)
    parser.add_argument('--frames', type=positive_int, default=200,
                        help='at most (default %(default)s)')
    parser.add_argument('--teacher-weights', type=Path, help='YOLO .pt file; default: fetched')
    parser.add_argument('--random-student', action='store_true',
                        help='begin with random weights, not with the shipped student')
    parser.add_argument('--out', type=Path, default=Path('demo_out'),
                        help='folder of the results (default %(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Run the demo and print its figures."""
    from shadowtutor_ros.demo.run import DemoSettings, run_demo
    from shadowtutor_ros.model.first_student import DEFAULT, RANDOM

    summary = run_demo(DemoSettings(
        arguments.out, arguments.video, arguments.frames, arguments.teacher_weights,
        RANDOM if arguments.random_student else DEFAULT, arguments.topic))
    print(f'\n{summary.table()}\n\n{arguments.out}/: overlay.mp4, frame.png, miou.png, '
          'summary.json, logs/')
    return 0
