# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor bag``: rosbags from videos, and videos from rosbags."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice, tee
from pathlib import Path
from typing import TYPE_CHECKING

from shadowtutor_ros.commands.arguments import add_topic, positive, positive_int, warn

if TYPE_CHECKING:
    from shadowtutor_ros.frame import Frame

DEFAULT_CLASSES = 'lvs8'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands ``make`` and ``export``."""
    actions = parser.add_subparsers(dest='action', required=True)

    make = actions.add_parser('make', help='a rosbag from a video and its labels')
    make.add_argument('video', help='video file, folder of images, rosbag, or camera index')
    make.add_argument('out', type=Path, help='new folder of the bag')
    add_topic(make)
    make.add_argument('--labels', help='label maps: what the teacher labels takes')
    make.add_argument('--frames', type=positive_int, help='at most; default: all')
    make.add_argument('--fps', type=positive, help="default: the video's")
    make.add_argument('--compressed', action='store_true', help='JPEG instead of raw pixels')
    _add_classes(make)

    export = actions.add_parser('export', help='a painted video or images from a rosbag')
    export.add_argument('bag', type=Path, help='folder, .mcap or .db3')
    export.add_argument('out', type=Path, help='new .mp4, or new folder for PNGs')
    add_topic(export)
    export.add_argument('--mask-topic', default='', help='default: the only mono8 topic, if any')
    _add_classes(export)


def run(arguments: argparse.Namespace) -> int:
    """Make or export a bag; errors are ShadowTutorErrors, or FileNotFoundError."""
    print({'make': _make, 'export': _export}[arguments.action](arguments))
    return 0


def _make(arguments: argparse.Namespace) -> str:
    from shadowtutor_ros.bag.writer import write_bag
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.share import config_file
    from shadowtutor_ros.sources import open_source
    from shadowtutor_ros.teacher.factory import create_teacher

    source = open_source(arguments.video, arguments.topic)
    fps = arguments.fps or source.fps
    frames: Iterator[Frame] = islice(source, arguments.frames)
    labels = None
    if arguments.labels:
        frames, seen = tee(frames)
        classes = ClassSet.load(config_file(arguments.classes, 'classes'))
        teacher = create_teacher('labels', classes, weights=arguments.labels, fps=fps)
        labels = (teacher.label(f, k / fps).class_ids for k, f in enumerate(seen))
    count = write_bag(arguments.out, frames, fps, labels, compressed=arguments.compressed)
    warn(str(source.damage))
    return f'{arguments.out}: {count} frames at {fps:g} per second'


def _export(arguments: argparse.Namespace) -> str:
    from shadowtutor_ros.bag.export import export_bag
    from shadowtutor_ros.classes import ClassSet
    from shadowtutor_ros.share import config_file

    classes = ClassSet.load(config_file(arguments.classes, 'classes'))
    done = export_bag(arguments.bag, arguments.out, classes,
                      topic=arguments.topic, mask_topic=arguments.mask_topic)
    warn(done.damage)
    return (f'{arguments.out}: {done.frames} frames, {done.painted} painted, '
            f'{done.frames - done.painted} without a mask, '
            f'{done.masks_without_frame} masks without a frame')


def _add_classes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--classes', default=DEFAULT_CLASSES,
                        help='class set of the labels (default %(default)s)')
