# SPDX-License-Identifier: Apache-2.0
"""
A robot hands its student up to a tutor that never saw it: the frames after, by the rehearsal.

    scripts/in_env.sh python benchmark/hand_up.py CLIP ... --labels FOLDER
        [--at 40,90] [--rehearsed 0,4] [--window 50]

``--labels`` has a folder of label maps for each clip, as benchmark/accuracy.py takes them. The
robot learns from one tutor until a frame, and from there on from a fresh one, which begins with so
many steps for Adam's moments alone. All in this process: nothing is timed, and the same command
gives the same numbers. Printed are mean mIoU of the ``--window`` frames after the change and of
the first ten of them, and the first lesson of the second tutor.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
import math
from pathlib import Path
import statistics

import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.setting import load_settings, Setting
from shadowtutor_ros.model.first_student import first_student
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.runtime import stream
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import Scheduler
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.labels import LabelsTeacher

SOON = 10  # frames


@dataclass
class Cast:
    """A clip with its labels, and what students begin with."""

    clip: Clip
    labels: LabelsTeacher
    classes: ClassSet
    setting: Setting
    first: Student

    def tutor(self) -> Tutor:
        """Return one that has taught nobody."""
        return Tutor(self.labels, self.first, TutorSettings(
            self.setting.distill, self.setting.weights, library=self.setting.library,
            lesson_seconds=math.inf, lessons_at_once=1))

    def robot(self, tutor: Tutor, student: Student, session_id: int, version: int) -> StudentLoop:
        """Return a robot that runs a version of a session."""
        return StudentLoop(student, Scheduler(self.setting.schedule), LocalLink(tutor), 'robot',
                           self.setting.key_frames, session_id, version)


@dataclass(frozen=True)
class After:
    """mIoU, 0-1, of every frame after the change, and the metric before and after a lesson."""

    ious: Sequence[float]
    lesson: tuple[float, float]


def taught_until(cast: Cast, at: int) -> StudentLoop:
    """Return a robot that has seen the first ``at`` frames."""
    tutor = cast.tutor()
    first = tutor.first_student('robot')
    loop = cast.robot(tutor, student_from_update(first, tutor.info), first.session_id,
                      first.version)
    for index, frame in enumerate(islice(cast.clip, at)):
        loop.segment(frame, cast.clip.stamp(index))
        loop.settle()
    tutor.close()
    return loop


def go_on(cast: Cast, before: StudentLoop, at: int, window: int, rehearsed: int) -> After:
    """Let a second tutor teach what the robot runs, which stays as it is, from frame ``at`` on."""
    stream._REHEARSED = rehearsed
    tutor = cast.tutor()
    loop = cast.robot(tutor, before.student.clone(), before.session_id, before.version)
    ious: list[float] = []
    lesson = math.nan, math.nan
    for index, frame in enumerate(islice(cast.clip, at, at + window), at):
        stamp = cast.clip.stamp(index)
        mask = loop.segment(frame, stamp)
        loop.settle()
        if loop.counters.updates_applied == 1:
            lesson = loop.counters.initial_metric, loop.counters.metric
        label = cast.labels.label(frame, stamp * 1e-9).class_ids
        ious.append(mean_iou_of_masks(mask, label, len(cast.classes)))
    tutor.close()
    return After(ious, lesson)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description='students that are handed up')
    parser.add_argument('clips', type=Path, nargs='+', metavar='CLIP')
    parser.add_argument('--labels', type=Path, required=True)
    parser.add_argument('--at', default='40,90', help='frames')
    parser.add_argument('--rehearsed', default='0,4', help='steps')
    parser.add_argument('--window', type=int, default=50, help='frames')
    parser.add_argument('--setting', default='ours')
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    setting, = load_settings([options.setting])
    print('clip                  at   rehearsed   mIoU %   of the first ten   first lesson')
    means: dict[int, list[float]] = {}
    for path in options.clips:
        clip = Clip(path)
        cast = Cast(clip, LabelsTeacher(options.labels / path.stem, classes, clip.fps), classes,
                    setting, first_student(setting.checkpoint, classes))
        for at in map(int, options.at.split(',')):
            before = taught_until(cast, at)
            for rehearsed in map(int, options.rehearsed.split(',')):
                after = go_on(cast, before, at, options.window, rehearsed)
                mean = 100 * statistics.fmean(after.ious)
                means.setdefault(rehearsed, []).append(mean)
                print(f'{path.stem:20} {at:4} {rehearsed:11} {mean:8.1f} '
                      f'{100 * statistics.fmean(after.ious[:SOON]):18.1f} '
                      f'{100 * after.lesson[0]:7.1f} -> {100 * after.lesson[1]:.1f}', flush=True)
    for rehearsed, found in means.items():
        print(f'{rehearsed:37} {statistics.fmean(found):8.1f}')


if __name__ == '__main__':
    main()
