# SPDX-License-Identifier: Apache-2.0
"""
How the training settings compare from random weights, in one process without ROS.

    scripts/in_env.sh python benchmark/defaults.py [--clip FILE] [--frames N]

Every update is taken one frame after its key frame (the paper's P-1), key frames travel as
JPEG 90, weights as fp16; mIoU is over every frame against YOLOv7-seg.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
import tempfile
import time

import numpy as np
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.demo.assets import clip, teacher_weights
from shadowtutor_ros.distill.metric import mean_iou_of_masks
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.evaluation.labels import label_frames
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Frame, Student, StudentInfo
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.video import FrameSource

SETTINGS = {
    'the paper': DistillSettings.paper(),
    '16 steps, lr 0.005, no cold start': DistillSettings(
        cold_start_updates=16, cold_start_group=PARTIAL),
    '... cold start partial, 64 steps': DistillSettings(
        cold_start_updates=64, cold_start_group=PARTIAL),
    '... cold start full, 64 steps': DistillSettings(
        cold_start_updates=64, cold_start_group=FULL),
    '... the same, then 24 steps': DistillSettings(max_updates=24),
}


def run(
    settings: DistillSettings, frames: list[Frame], labels: np.ndarray, teacher: LabelsTeacher,
    classes: ClassSet, fps: float,
) -> str:
    """Return one row of figures."""
    info = StudentInfo(classes.names, classes.colours)
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(settings))
    first = tutor.first_student('bench')
    schedule = ScheduleSettings(policy=PACED, update_delay=1)
    loop = StudentLoop(student_from_update(first, info), Scheduler(schedule), LocalLink(tutor),
                       'bench', session_id=first.session_id, version=first.version)
    miou = []
    started = time.monotonic()
    for index, (frame, label) in enumerate(zip(frames, labels)):
        mask = loop.segment(frame, round(index * 1e9 / fps))
        miou.append(100 * mean_iou_of_masks(mask, label, len(classes)))
        loop.settle()
    counters = loop.counters
    return (f'{np.mean(miou):5.1f} | {np.mean(miou[:len(miou) // 4]):5.1f} | '
            f'{100 * counters.key_frames / len(frames):4.1f} % | '
            f'{counters.distillation_steps / counters.updates_applied:4.1f} | '
            f'{counters.bytes_down / counters.updates_applied / 1024:5.0f} KiB | '
            f'{time.monotonic() - started:4.0f} s')


def main() -> None:
    """Print the table for one clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--clip', type=Path)
    parser.add_argument('--frames', type=int, default=160)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    source = FrameSource(str(arguments.clip or clip()))
    frames = list(itertools.islice(source, arguments.frames))
    yolo = create_teacher('yolo', classes, weights=str(teacher_weights()))
    labels = label_frames(frames, len(frames), source.fps, yolo, classes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'labels.npz'
        np.savez(path, labels=labels)
        teacher = LabelsTeacher(path, classes, source.fps)
        print(f'{Path(source.source).name}, {len(frames)} frames\n\n'
              '| from random weights | mIoU | first quarter | key frames | steps | down per key '
              'frame | time |\n|---|---|---|---|---|---|---|')
        for name, settings in SETTINGS.items():
            row = run(settings, frames, labels, teacher, classes, source.fps)
            print(f'| {name} | {row} |', flush=True)


if __name__ == '__main__':
    main()
