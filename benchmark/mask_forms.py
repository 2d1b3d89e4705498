# SPDX-License-Identifier: Apache-2.0
"""
What a mask takes in each form in which it is published, and that all of them are the same mask.

    scripts/in_env.sh python benchmark/mask_forms.py FOLDER --labels FOLDER

FOLDER has clips, ``--labels`` a folder of label maps for each. A student is taught on the first
``--frames`` frames of every clip as the product does by default; its masks become messages and
masks again. Bytes are those of the message's data, of polygons those of the whole message;
milliseconds are those of making it and of reading it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.serialization import serialize_message
from std_msgs.msg import Header
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip
from shadowtutor_ros.evaluation.run import local_loop
from shadowtutor_ros.evaluation.setting import load_setting
from shadowtutor_ros.model.first_student import first_student
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.outlines import filled
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.wire.images import compressed_from_array, image_from_array, runs_from_mask
from shadowtutor_ros.wire.key_frame import PNG
from shadowtutor_ros.wire.masks import mask_of
from shadowtutor_ros.wire.polygon_messages import outlines_of, polygons_from_mask

Mask = NDArray[np.uint8]
BACKGROUND = 8  # of lvs8


@dataclass(frozen=True)
class Form:
    """A topic's way to a message; ``size`` is of its data, in bytes."""

    topic: str
    make: Callable[[Mask], Any]
    read: Callable[[Any], Mask]
    size: Callable[[Any], int]


FORMS = (
    Form('~/mask', lambda mask: image_from_array(mask, 'mono8', Header()), mask_of,
         lambda msg: len(msg.data)),
    Form('~/mask/compressed', lambda mask: compressed_from_array(mask, PNG, Header()), mask_of,
         lambda msg: len(msg.data)),
    Form('~/mask/rle', lambda mask: runs_from_mask(mask, Header()), mask_of,
         lambda msg: len(msg.data)),
    Form('~/polygons', lambda mask: polygons_from_mask(mask, BACKGROUND, Header()),
         lambda msg: filled(outlines_of(msg), (msg.height, msg.width), msg.background),
         lambda msg: len(serialize_message(msg))),
)


@dataclass(frozen=True)
class Cost:
    """One mask in one form; times in milliseconds."""

    size: int
    making: float
    reading: float


def taught_masks(folder: Path, labels: Path, frames: int) -> Iterator[Mask]:
    """Return the masks of a student that is taught clip by clip."""
    classes, setting = ClassSet.load(config_file('lvs8', 'classes')), load_setting('ours')
    for video in sorted(folder.glob('*.mp4')):
        clip = Clip(video, frames)
        teacher = create_teacher('labels', classes, weights=str(labels / video.stem), fps=clip.fps)
        loop = local_loop(setting, first_student('default', classes),
                          label_clip(clip, teacher, classes).labels)
        for index, frame in enumerate(clip):
            yield loop.segment(frame, clip.stamp(index))
            loop.settle()


def cost(form: Form, mask: Mask) -> Cost:
    """Make and read a message; raise AssertionError if it is of another mask."""
    times = [time.perf_counter()]
    msg = form.make(mask)
    times.append(time.perf_counter())
    back = form.read(msg)
    times.append(time.perf_counter())
    np.testing.assert_array_equal(back, mask, form.topic)
    return Cost(form.size(msg), 1e3 * (times[1] - times[0]), 1e3 * (times[2] - times[1]))


def table(costs: dict[str, list[Cost]]) -> str:
    """Return mean and largest sizes and median times in Markdown."""
    lines = ['| topic | bytes, mean | largest | made in ms | read in ms |',
             '|---|--:|--:|--:|--:|']
    for topic, own in costs.items():
        sizes = [each.size for each in own]
        lines.append(
            f'| `{topic}` | {statistics.fmean(sizes):,.0f} | {max(sizes):,} '
            f'| {statistics.median(each.making for each in own):.2f} '
            f'| {statistics.median(each.reading for each in own):.2f} |')
    return '\n'.join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--labels', type=Path, required=True, metavar='FOLDER')
    parser.add_argument('--frames', type=int, default=30, metavar='N', help='of each clip')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    costs: dict[str, list[Cost]] = {form.topic: [] for form in FORMS}
    for mask in taught_masks(arguments.folder, arguments.labels, arguments.frames):
        for form in FORMS:
            costs[form.topic].append(cost(form, mask))
    print(f'{len(costs[FORMS[0].topic])} masks, the same in every form\n\n{table(costs)}')


if __name__ == '__main__':
    main()
