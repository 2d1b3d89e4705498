# SPDX-License-Identifier: Apache-2.0
"""
What it costs to send a lesson in few bytes: bytes, and masks of the frames after it.

One run of a setting on labelled videos. At every key frame from which something was learnt, all
``ways`` of sending it are decoded into copies of the student, and these segment every second of
the next ``AFTER`` frames, as does the student as it was trained. So the ways are compared on
the same lessons. mIoU in percent; "minus exact" with the standard error over the lessons.

    scripts/in_env.sh python benchmark/rounding.py FOLDER/*.mp4 --labels FOLDER/labels
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
import statistics
import sys
from typing import Any

import torch
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelledClip
from shadowtutor_ros.evaluation.run import local_loop
from shadowtutor_ros.evaluation.setting import load_setting, Setting
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.wire.delta import decode_delta, DELTA, DELTA_DCT, encode_delta
from shadowtutor_ros.wire.encoder import Encoder

AFTER = 8
WAYS = {f'{encoding} {step}': (encoding, step) for encoding, step in (
    (DELTA, 0.75), (DELTA, 1.5), (DELTA, 2.5),
    (DELTA_DCT, 1.0), (DELTA_DCT, 1.5), (DELTA_DCT, 2.0), (DELTA_DCT, 3.0))}


@dataclass(frozen=True)
class Sent:
    """One lesson sent in one way: payload bytes; mIoU on the key frame and the frames after."""

    size: int
    on_key_frame: float
    after: float


class Judge:
    """Stands at a stream's encoder and judges all ways to send what it is given."""

    def __init__(self, labelled: LabelledClip, first: Student, ways: list[str]) -> None:
        self._labelled, self._student = labelled, first.clone()
        self._frames: list[Frame] = list(labelled.clip)
        self._ways = ways
        self.index = 0
        self.lessons: list[dict[str, Sent]] = []

    def __call__(
        self, encoder: Encoder, tensors: Mapping[str, Tensor], base: int | None,
    ) -> None:
        """Judge one lesson; nothing is changed."""
        running = encoder._versions.get(base) if base is not None else None
        if running is None or self.index + 2 >= len(self._frames):
            return
        before = {name: running[name] for name in tensors}
        if all(torch.equal(before[name], tensor) for name, tensor in tensors.items()):
            return
        self._student.load(running)
        lesson = {'exact': self._sent(tensors, 4 * sum(t.numel() for t in tensors.values()))}
        for way in self._ways:
            encoding, step = WAYS[way]
            weights = encode_delta(before, tensors, encoder._residual, 1.0, step, encoding)
            lesson[way] = self._sent(decode_delta(weights, before), len(weights.payload))
        self.lessons.append(lesson)

    def _sent(self, tensors: Mapping[str, Tensor], size: int) -> Sent:
        self._student.load(tensors)
        on_key_frame, *after = (
            100 * mean_iou_of_masks(self._student.segment(self._frames[index]),
                                    self._labelled.label(index).class_ids,
                                    len(self._student.info.class_names))
            for index in range(self.index, min(self.index + AFTER + 1, len(self._frames)), 2))
        return Sent(size, on_key_frame, statistics.fmean(after))


def lessons(
    labelled: LabelledClip, setting: Setting, first: Student, ways: list[str],
) -> list[dict[str, Sent]]:
    """Run ``setting`` and return its lessons, each in all ``ways`` and exact."""
    judge, drafts = Judge(labelled, first, ways), Encoder.drafts

    def watched(self: Encoder, tensors: Mapping[str, Tensor], base: int | None) -> Any:
        judge(self, tensors, base)
        return drafts(self, tensors, base)

    Encoder.drafts = watched  # type: ignore[method-assign]
    try:
        loop = local_loop(setting, first, labelled.labels, LocalLink)
        for judge.index, frame in enumerate(labelled.clip):
            loop.segment(frame, labelled.clip.stamp(judge.index))
            loop.settle()
    finally:
        Encoder.drafts = drafts  # type: ignore[method-assign]
    return judge.lessons


def table(all_lessons: list[dict[str, Sent]]) -> str:
    """Return the means as a Markdown table."""
    lines = ['| | KiB | on the key frame, % | frames after, % | minus exact |',
             '|---|--:|--:|--:|--:|']
    for way in all_lessons[0]:
        sent = [lesson[way] for lesson in all_lessons]
        gaps = [lesson[way].after - lesson['exact'].after for lesson in all_lessons]
        lines.append(
            f'| {way} | {statistics.fmean(s.size for s in sent) / 1024:.1f} '
            f'| {statistics.fmean(s.on_key_frame for s in sent):.2f} '
            f'| {statistics.fmean(s.after for s in sent):.2f} '
            f'| {statistics.fmean(gaps):+.2f} +- '
            f'{statistics.stdev(gaps) / len(gaps) ** 0.5:.2f} |')
    return '\n'.join(lines)


def main() -> None:
    """Print one table over the lessons of all videos."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('videos', nargs='+', type=Path, metavar='VIDEO')
    parser.add_argument('--labels', type=Path, required=True, metavar='FOLDER',
                        help='label maps in FOLDER/<name of the video without its suffix>')
    parser.add_argument('--setting', default='ours', metavar='NAME')
    parser.add_argument('--frames', type=int, default=100, help='of each video at most')
    parser.add_argument('--ways', type=lambda text: text.split(','), default=list(WAYS),
                        metavar='A,B', help=f'some of: {", ".join(WAYS)}')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    first = Student.random(StudentInfo(classes.names, classes.colours), 0)
    setting = load_setting(arguments.setting)
    found: list[dict[str, Sent]] = []
    for video in arguments.videos:
        clip = Clip(video, arguments.frames)
        teacher = create_teacher('labels', classes, weights=str(arguments.labels / video.stem),
                                 fps=clip.fps)
        found += lessons(label_clip(clip, teacher, classes), setting, first, arguments.ways)
        print(video, len(found), 'lessons', file=sys.stderr, flush=True)
    print(table(found))


if __name__ == '__main__':
    main()
