# SPDX-License-Identifier: Apache-2.0
"""
What the teacher makes of a key frame that came in fewer bytes.

For every codec of key_frames.py, over a few frames of each video: bytes, PSNR, CPU time, and how
far the teacher's label of the decoded frame agrees with its label of the raw frame (mIoU), also
minus that of ``jpeg-85`` with the standard error of the paired difference. ``noise`` is the raw
frame changed by one grey level at most.

    scripts/in_env.sh python benchmark/key_frame_labels.py VIDEO ... --codecs jpeg-85,webp-80
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import statistics
import sys

import cv2
from key_frames import all_codecs, Codec, cpu_ms
import numpy as np
from numpy.typing import NDArray
import torch

from shadowtutor_ros.assets import teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import Teacher
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame, RAW

LONGEST = 300  # frames of a video at most
REFERENCE = 'jpeg-85'
CODECS = ('noise', *(f'jpeg-{q}' for q in (50, 60, 75, 85, 90)),
          *(f'webp-{q}' for q in (50, 60, 75, 80, 85, 90)),
          *(f'avif-{q}' for q in (50, 60, 70, 80)))


@dataclass(frozen=True)
class Sample:
    """One frame in one codec: PSNR in decibels, CPU milliseconds, agreement in percent."""

    size: int
    psnr: float
    encode_ms: float
    decode_ms: float
    agreement: float


def noisy(frame: Frame) -> EncodedFrame:
    """Return a raw frame whose values are changed by one at most."""
    change = np.random.default_rng(0).integers(-1, 2, frame.shape)
    return encode_frame((frame + change).clip(0, 255).astype(np.uint8), RAW)


def evenly(video: Path, count: int) -> Iterator[Frame]:
    """Yield ``count`` frames of a video, none at its ends."""
    frames = list(Clip(video, LONGEST))
    for part in range(count):
        yield frames[len(frames) * (2 * part + 1) // (2 * count)]


def sample(
    codec: Codec, frame: Frame, label: NDArray[np.uint8], teacher: Teacher, classes: int,
) -> Sample:
    """Send a frame by ``codec``; ``label`` is the teacher's of the frame as it is."""
    encoded = codec.encode(frame)
    arrived = codec.decode(encoded)
    return Sample(
        len(encoded.data), cv2.PSNR(frame, arrived), cpu_ms(codec.encode, frame),
        cpu_ms(codec.decode, encoded),
        100 * mean_iou_of_masks(teacher.label(arrived).class_ids, label, classes))


def table(samples: dict[str, list[Sample]]) -> str:
    """Return the means as a Markdown table."""
    lines = [f'| | KiB | PSNR, dB | encode, ms | decode, ms | agreement, % | minus {REFERENCE} |',
             '|---|--:|--:|--:|--:|--:|--:|']
    for name, own in samples.items():
        gaps = [a.agreement - b.agreement for a, b in zip(own, samples[REFERENCE])]
        error = statistics.stdev(gaps) / len(gaps) ** 0.5
        lines.append(
            f'| {name} | {statistics.fmean(s.size for s in own) / 1024:.1f} '
            f'| {statistics.fmean(s.psnr for s in own):.1f} '
            f'| {statistics.fmean(s.encode_ms for s in own):.1f} '
            f'| {statistics.fmean(s.decode_ms for s in own):.1f} '
            f'| {statistics.fmean(s.agreement for s in own):.2f} '
            f'| {statistics.fmean(gaps):+.2f} +- {error:.2f} |')
    return '\n'.join(lines)


def main() -> None:
    """Print one table over all videos."""
    codecs = {'noise': Codec(noisy), **all_codecs()}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('videos', nargs='+', type=Path, metavar='VIDEO')
    parser.add_argument('--frames', type=int, default=4, help='of each video')
    parser.add_argument('--codecs', type=lambda text: text.split(','), default=CODECS,
                        metavar='A,B', help=f'some of: {", ".join(codecs)}')
    parser.add_argument('--teacher', default='yolov7-seg', metavar='NAME',
                        help='yolov7-seg (default) or yolov5s-seg')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    teacher = create_teacher(
        'yolo', classes, weights=str(teacher_weights(f'{arguments.teacher}.pt')))
    samples: dict[str, list[Sample]] = {
        name: [] for name in dict.fromkeys((*arguments.codecs, REFERENCE))}
    for video in arguments.videos:
        for frame in evenly(video, arguments.frames):
            label = teacher.label(frame).class_ids
            for name, own in samples.items():
                own.append(sample(codecs[name], frame, label, teacher, len(classes.names)))
        print(video, file=sys.stderr, flush=True)
    print(table(samples))


if __name__ == '__main__':
    main()
