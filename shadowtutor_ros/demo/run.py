# SPDX-License-Identifier: Apache-2.0
"""The demo: label, run the three nodes, compare, and leave pictures and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
import sys

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shadowtutor_ros.assets import clip, teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.demo.drawing import plot_miou, side_by_side
from shadowtutor_ros.demo.summary import Summary
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelledClip
from shadowtutor_ros.evaluation.run import Run, run_in_process
from shadowtutor_ros.evaluation.setting import load_setting
from shadowtutor_ros.evaluation.summary import RunSummary, summarise
from shadowtutor_ros.harness.trial import run_trial, Trial, TrialResult
from shadowtutor_ros.model.first_student import DEFAULT, first_student
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.video_writer import VideoWriter
from shadowtutor_ros.whole_file import make_folder, replace_file, whole

_CLASSES = 'lvs8'
_SEED = 0


@dataclass(frozen=True)
class DemoSettings:
    """
    ``video`` None fetches a clip; ``weights`` None fetches the teacher's.

    ``checkpoint`` is the tutor's: the first student.
    """

    out: Path
    video: Path | None = None
    frames: int = 200
    weights: Path | None = None
    checkpoint: str = DEFAULT
    topic: str = ''  # of a rosbag


def run_demo(settings: DemoSettings) -> Summary:
    """
    Run the demo and write ``summary.json``, ``overlay.mp4``, ``frame.png`` and ``miou.png``.

    Raise TrialError, ProcessDied, AssetError, TeacherError, VideoError or CannotWrite.
    """
    make_folder(settings.out)
    video = settings.video or clip()
    weights = settings.weights or teacher_weights()
    classes = ClassSet.load(config_file(_CLASSES, 'classes'))
    source = Clip(video, settings.frames, topic=settings.topic)
    teacher = create_teacher('yolo', classes, weights=str(weights))
    labelled = label_clip(source, teacher, classes)
    if source.damage:
        print(f'warning: {source.damage}', file=sys.stderr)
    first = first_student(settings.checkpoint, classes, _SEED)
    wild = _alone('wild', labelled, first)
    naive, naive_jpeg = (_figures(_alone(name, labelled, first), labelled, classes)
                         for name in ('naive', 'naive-jpeg'))

    trial = Trial(video, source.fps, labelled.count, tutor={
        'teacher': 'yolo', 'teacher_weights': str(weights), 'classes': _CLASSES, 'seed': _SEED,
        'checkpoint': settings.checkpoint}, topic=settings.topic)
    print('starts tutor and student ...', flush=True)
    miou, result = _watch(trial, settings.out, labelled, classes)
    plot_miou(settings.out / 'miou.png', f'{video.name}: student against {teacher.name}',
              miou, [record.miou for record in wild.records], result.key_frames(source.fps))
    status, count = result.last, labelled.count
    answered = max(1, status.updates_applied)  # the last key frame may still be under way
    assert result.student is not None
    assert result.tutor is not None
    summary = Summary(
        video=video.name, teacher=teacher.name, frames=count,
        miou=100 * float(np.mean(miou)), wild_miou=_figures(wild, labelled, classes).miou,
        key_frames=status.key_frames, key_frame_ratio=100 * status.key_frames / count,
        steps_per_key_frame=status.distillation_steps / answered,
        bytes_up_per_key_frame=status.bytes_up / max(1, status.key_frames),
        bytes_down_per_key_frame=status.bytes_down / answered,
        bytes_per_frame=(status.bytes_up + status.bytes_down) / count,
        naive_raw_bytes_per_frame=naive.bytes_per_key_frame,
        naive_jpeg_bytes_per_frame=naive_jpeg.bytes_per_key_frame,
        fps=count / result.seconds,
        student_cpu_ms_per_frame=1e3 * result.student.cpu_seconds / count,
        student_memory=result.student.memory,
        tutor_cpu_ms_per_key_frame=1e3 * result.tutor.cpu_seconds / answered,
        tutor_memory=result.tutor.memory, failures=status.failures)
    summary.write(settings.out / 'summary.json')
    return summary


def _alone(name: str, labelled: LabelledClip, first: Student) -> Run:
    """Run a setting that has no tutor."""
    with tqdm(total=labelled.count, desc=name, unit='frame', disable=None) as bar:
        return run_in_process(
            labelled, load_setting(name), first, (), lambda index: bar.update())


def _figures(run: Run, labelled: LabelledClip, classes: ClassSet) -> RunSummary:
    return summarise(run, classes.names, labelled.clip.fps)


def _watch(
    trial: Trial, out: Path, labelled: LabelledClip, classes: ClassSet,
) -> tuple[list[float], TrialResult]:
    """Run the nodes; return every frame's mIoU and write the side-by-side video."""
    miou: list[float] = []
    frames = iter(labelled.clip)
    with whole(out / 'overlay.mp4') as part, VideoWriter(part, trial.fps) as writer, \
            tqdm(total=labelled.count, desc='student over DDS', unit='frame', disable=None) as bar:

        def on_mask(index: int, mask: NDArray[np.uint8], key_frames: int) -> None:
            frame, label = next(frames), labelled.label(index).class_ids
            miou.append(mean_iou_of_masks(mask, label, len(classes)))
            picture = side_by_side(frame, label, mask, classes.colours, (
                f'frame {index}', 'teacher', f'student, mIoU {100 * miou[-1]:.0f} %'))
            writer.write(picture)
            if index == labelled.count * 3 // 4:
                replace_file(out / 'frame.png', cv2.imencode('.png', picture)[1].tobytes())
            bar.update()
            bar.set_postfix_str(f'mIoU {100 * np.mean(miou):.1f} %, '
                                f'key frames {100 * key_frames / len(miou):.1f} %', refresh=False)

        result = run_trial(trial, out / 'logs', on_mask)
    return miou, result
