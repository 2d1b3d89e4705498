# SPDX-License-Identifier: Apache-2.0
"""
How few bytes a key frame may have before the taught student suffers.

For every codec: bytes and CPU time of a frame; how far the teacher's label of the decoded frame
agrees with its label of the raw frame; and what a *lesson* on the decoded frame is worth. A
lesson starts from a student that raw key frames have taught so far, teaches it one key frame
and judges it on the frames up to the next one by the teacher's labels of the raw frames. All
codecs start from the same students, so the small differences are paired. ``--seeds`` runs the
whole system as well; training amplifies the smallest difference, so one such run says little.

    scripts/in_env.sh python benchmark/key_frames.py VIDEO ...

Results are kept in --out; the same command goes on after a kill.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
import json
from pathlib import Path
import statistics
import sys
import time
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import torch

from shadowtutor_ros.assets import teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelledClip
from shadowtutor_ros.evaluation.run import local_loop
from shadowtutor_ros.evaluation.setting import load_setting, Setting
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.student import KeyFrameSettings
from shadowtutor_ros.runtime.tutor import Tutor
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import Teacher
from shadowtutor_ros.wire.key_frame import decode_frame, encode_frame, EncodedFrame, RAW
from shadowtutor_ros.wire.update import KeyFrame

SIZE_720P = 1280, 720
STRIDE = 10  # of the lessons
JUDGED_STRIDE = 2
NEVER_GOOD_ENOUGH = 0.99  # a lesson is learnt even by a student that would be let off
REPEATS = 3  # the CPU time of one frame is the least of these
QUALITIES = 50, 60, 70, 75, 80, 85, 90, 95
WEBP_QUALITIES = 50, 60, 75, 80, 85, 90
AVIF_QUALITIES = 50, 60, 70, 80
TAUGHT = ['raw', *(f'jpeg-{q}' for q in (50, 60, 70, 75, 80, 90, 95)), 'jpeg-75 4:4:4',
          'jpeg-75 x 0.75', 'webp-75']
WEBP_LOSSLESS = 101  # what OpenCV takes for it
COLUMNS = ('KiB', 'KiB at 720p', 'encode ms', 'decode ms', 'label agreement %', 'lesson mIoU %',
           'minus raw', 'standard error', 'mIoU of runs %', 'their key frames %')

_T = TypeVar('_T')


@dataclass(frozen=True)
class Codec:
    """A way to send a frame, whether the product has it or not."""

    encode: Callable[[Frame], EncodedFrame]
    decode: Callable[[EncodedFrame], Frame] = decode_frame

    def __call__(self, frame: Frame) -> Frame:
        """Return what arrives of ``frame``."""
        return self.decode(self.encode(frame))


def product(format: str, quality: int = 90) -> Codec:
    """Return a codec of the product."""
    return Codec(lambda frame: encode_frame(frame, format, quality))


def opencv(format: str, *parameters: int) -> Codec:
    """Return a codec of OpenCV with ``cv2.imencode``'s parameters."""
    def encode(frame: Frame) -> EncodedFrame:
        return EncodedFrame(format, cv2.imencode(f'.{format}', frame, parameters)[1].tobytes())

    def decode(encoded: EncodedFrame) -> Frame:
        pixels = cv2.imdecode(np.frombuffer(encoded.data, np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(pixels, np.uint8)
    return Codec(encode, decode)


def scaled(codec: Codec, scale: float) -> Codec:
    """Return ``codec`` of a smaller frame; teacher and training see the smaller one."""
    def encode(frame: Frame) -> EncodedFrame:
        small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return codec.encode(np.asarray(small, np.uint8))
    return Codec(encode, codec.decode)


def all_codecs() -> dict[str, Codec]:
    """Return what is compared, by name."""
    jpeg = {q: (cv2.IMWRITE_JPEG_QUALITY, q) for q in (50, 75)}
    full_chroma = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    return {
        'raw': product('raw'),
        'png': product('png'),
        'webp-lossless': opencv('webp', cv2.IMWRITE_WEBP_QUALITY, WEBP_LOSSLESS),
        **{f'jpeg-{q}': product('jpeg', q) for q in QUALITIES},
        'jpeg-75 optimised': opencv('jpg', *jpeg[75], cv2.IMWRITE_JPEG_OPTIMIZE, 1),
        'jpeg-75 progressive': opencv('jpg', *jpeg[75], cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        'jpeg-50 4:4:4': opencv('jpg', *jpeg[50], *full_chroma),
        'jpeg-75 4:4:4': opencv('jpg', *jpeg[75], *full_chroma),
        'jpeg-75 x 0.75': scaled(product('jpeg', 75), 0.75),
        'jpeg-75 x 0.5': scaled(product('jpeg', 75), 0.5),
        **{f'webp-{q}': product('webp', q) for q in WEBP_QUALITIES},
        **{f'avif-{q}': opencv('avif', cv2.IMWRITE_AVIF_QUALITY, q, cv2.IMWRITE_AVIF_SPEED, 10)
           for q in AVIF_QUALITIES},
    }


class Size(NamedTuple):
    """Mean bytes of a frame at its own size and at 720p; CPU milliseconds at 720p."""

    own_bytes: float
    bytes_720p: float
    encode_ms: float
    decode_ms: float


@dataclass(frozen=True)
class Point:
    """A key frame, the student before it, and by index the frames that judge it after."""

    index: int
    frame: Frame
    student: Student
    judged: dict[int, Frame]


class Taught(NamedTuple):
    """One run of a student: mean mIoU and key frames, both in percent."""

    miou: float
    key_frames: float


class Store:
    """Results as JSON lines: what is there is not computed again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text(encoding='utf-8').splitlines() if path.is_file() else []
        self._known: dict[tuple[str | int, ...], Any] = {
            tuple(line['key']): line['values'] for line in map(json.loads, lines)}

    def get(
        self, key: tuple[str | int, ...], work: Callable[..., Any], *arguments: object,
    ) -> Any:
        """Return the values stored under ``key``; at first they are ``work(*arguments)``."""
        if key not in self._known:
            print(*key, file=sys.stderr, flush=True)
            self._known[key] = work(*arguments)
            with self._path.open('a', encoding='utf-8') as file:
                file.write(json.dumps({'key': key, 'values': self._known[key]}) + '\n')
        return self._known[key]


class CodecLink(LocalLink):
    """A tutor in the same process that gets frames as ``codec`` leaves them."""

    def __init__(self, tutor: Tutor, codec: Codec) -> None:
        super().__init__(tutor)
        self._codec = codec

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        arrived = self._codec(decode_frame(key_frame.encoded))
        super().send(replace(key_frame, encoded=encode_frame(arrived, RAW)), timeout)


def measure(codec: Codec, frames: Sequence[Frame]) -> Size:
    """Return the codec's bytes and times on ``frames``."""
    large = [np.asarray(cv2.resize(frame, SIZE_720P, interpolation=cv2.INTER_CUBIC), np.uint8)
             for frame in frames]
    encoded = [codec.encode(frame) for frame in large]
    return Size(
        statistics.fmean(len(codec.encode(frame).data) for frame in frames),
        statistics.fmean(len(frame.data) for frame in encoded),
        statistics.fmean(cpu_ms(codec.encode, frame) for frame in large),
        statistics.fmean(cpu_ms(codec.decode, frame) for frame in encoded))


def cpu_ms(work: Callable[[_T], object], argument: _T) -> float:
    """Return the CPU milliseconds of ``work(argument)``, the least of REPEATS."""
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work(argument)
        times.append(time.process_time() - started)
    return 1e3 * min(times)


def warm_up(clip: LabelledClip, settings: DistillSettings, first: Student) -> list[Point]:
    """Teach ``first`` every STRIDE-th raw frame; return the students just before each one."""
    trainer = Trainer(first.clone(), settings)
    points: list[Point] = []
    for index, frame in enumerate(clip.clip):
        if index % STRIDE == 0:
            points.append(Point(index, frame, trainer.student.clone(), {}))
            label = clip.label(index)
            trainer.train(frame, label)
        elif index % JUDGED_STRIDE == 0:
            points[-1].judged[index] = frame
    return points[1:-1]  # the first is cold, the last may have few frames


def lessons(
    codec: Codec, teacher: Teacher, clip: LabelledClip, points: Sequence[Point],
    settings: DistillSettings,
) -> list[tuple[float, float]]:
    """Return per point how far the labels agree and the student's mIoU after, in percent."""
    lesson = replace(settings, threshold=NEVER_GOOD_ENOUGH, cold_start_group=settings.group,
                     cold_start_updates=settings.max_updates)
    results = []
    for point in points:
        trainer = Trainer(point.student.clone(), lesson)
        classes = len(trainer.student.info.class_names)
        arrived, reference = codec(point.frame), clip.label(point.index)
        same = np.array_equal(arrived, point.frame)
        label = reference if same else teacher.label(arrived)
        trainer.train(arrived, label)
        full_size = cv2.resize(label.class_ids, reference.class_ids.shape[::-1],
                               interpolation=cv2.INTER_NEAREST)
        results.append((
            100 * mean_iou_of_masks(
                np.asarray(full_size, np.uint8), reference.class_ids, classes),
            100 * statistics.fmean(
                mean_iou_of_masks(trainer.student.segment(frame), clip.label(index).class_ids,
                                  classes)
                for index, frame in point.judged.items())))
    return results


def teach(
    codec: Codec, teacher: Teacher, clip: LabelledClip, setting: Setting, first: Student,
) -> Taught:
    """Run the system on ``clip`` in one process."""
    loop = local_loop(replace(setting, key_frames=KeyFrameSettings(RAW)), first, teacher,
                      lambda tutor: CodecLink(tutor, codec))
    ious = []
    for index, frame in enumerate(clip.clip):
        mask = loop.segment(frame, clip.clip.stamp(index))
        ious.append(mean_iou_of_masks(mask, clip.label(index).class_ids,
                                      len(first.info.class_names)))
        loop.settle()
        if loop.counters.failed:
            raise RuntimeError(f'{clip.clip.path}: frame {index}: {loop.counters.detail}')
    return Taught(100 * statistics.fmean(ious), 100 * loop.counters.key_frames / clip.count)


def study(
    clip: LabelledClip, teacher: Teacher, info: StudentInfo, arguments: argparse.Namespace,
) -> str:
    """Measure the chosen codecs on one video and return a Markdown table."""
    codecs, setting, store = all_codecs(), load_setting('ours'), Store(arguments.out)
    points = warm_up(clip, setting.distill, Student.random(info, 0)) if arguments.taught else []
    frames = [frame for index, frame in enumerate(clip.clip) if index % (2 * STRIDE) == STRIDE]
    rows = [[clip.clip.name, *COLUMNS], ['---', *('--:' for _ in COLUMNS)]]
    of_raw: Sequence[tuple[float, float]] = []
    for name in arguments.codecs:
        codec, key = codecs[name], (clip.clip.name, clip.count, name)
        size = Size(*store.get((*key, 'size'), measure, codec, frames))
        row = [name, f'{size.own_bytes / 1024:.1f}', f'{size.bytes_720p / 1024:.1f}',
               f'{size.encode_ms:.1f}', f'{size.decode_ms:.1f}']
        if name in arguments.taught:
            taught = store.get((*key, 'lessons'), lessons, codec, teacher, clip, points,
                               setting.distill)
            of_raw = of_raw or taught
            gaps = [own - raw for (_, own), (_, raw) in zip(taught, of_raw)]
            row += [f'{statistics.fmean(agrees for agrees, _ in taught):.1f}',
                    f'{statistics.fmean(miou for _, miou in taught):.1f}',
                    f'{statistics.fmean(gaps):+.2f}',
                    f'{statistics.stdev(gaps) / len(gaps) ** 0.5:.2f}']
            runs = [
                Taught(*store.get((*key, 'student', seed), teach, codec, teacher, clip, setting,
                                  Student.random(info, seed)))
                for seed in range(arguments.seeds)]
            row += [' '.join(f'{run.miou:.1f}' for run in runs),
                    ' '.join(f'{run.key_frames:.1f}' for run in runs)]
        rows.append(row + [''] * (1 + len(COLUMNS) - len(row)))
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def main() -> None:
    """Print one table per video."""
    names = list(all_codecs())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('videos', nargs='+', type=Path, metavar='VIDEO')
    parser.add_argument('--frames', type=int, default=300, help='of each video at most')
    parser.add_argument('--codecs', type=_list_of(names), default=names, metavar='A,B',
                        help=f'all of: {", ".join(names)}')
    parser.add_argument('--taught', type=_list_of(names), metavar='A,B',
                        default=TAUGHT,
                        help='those that a student is taught with, raw first; empty: none')
    parser.add_argument('--seeds', type=int, default=0,
                        help='runs of the whole system for each of those')
    parser.add_argument('--threads', type=int, default=1, help='torch CPU threads')
    parser.add_argument('--out', type=Path, default=Path('key_frames.jsonl'))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    info = StudentInfo(classes.names, classes.colours)
    teacher = create_teacher('yolo', classes, weights=str(teacher_weights()))
    for video in arguments.videos:
        clip = label_clip(Clip(video, arguments.frames), teacher, classes)
        print(study(clip, teacher, info, arguments), end='\n\n', flush=True)


def _list_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name for name in text.split(',') if name]
        if unknown := sorted(set(chosen) - set(names)):
            raise argparse.ArgumentTypeError(
                f'expected some of {", ".join(names)}, got {", ".join(unknown)}')
        return chosen
    return parse


if __name__ == '__main__':
    main()
