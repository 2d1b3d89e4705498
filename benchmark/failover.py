# SPDX-License-Identifier: Apache-2.0
"""
A tutor that is killed while a second one is there: how soon that serves, and what it costs.

    scripts/in_env.sh python benchmark/failover.py [--frames 260] [--kill-at 80,130,180]

A robot, two tutors with different first students and a replay that waits for every mask, as
processes over DDS; the policy is paced, so that only what was learnt counts and not how fast the
machine is. Once nobody is killed; then the serving tutor is, with SIGKILL, at the mask of a frame.
Printed are the seconds from the kill to the first update of the other tutor, the bytes that went
up and down until then, and the mean mIoU of the 50 frames after the kill beside that of the same
frames without one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
import os
from pathlib import Path
import signal
import statistics
import tempfile
import time

from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.assets import clip, teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelCache, LabelledClip
from shadowtutor_ros.harness.collector import Collector
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.harness.trial import replay_process, student_process, Trial
from shadowtutor_ros.model.student import Mask
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.factory import create_teacher

TUTORS = '/tutor_a', '/tutor_b'
WINDOW = 50  # frames after the kill
PATIENCE = 120.0  # seconds for anything at all


@dataclass(frozen=True)
class Outcome:
    """
    One run: mIoU (0-1) of every frame by its index, but of those that a busy machine lost.

    Of the kill, NaN and 0 without one: ``seconds`` until the other tutor's first update, ``up``
    and ``down`` bytes until then, ``lesson`` the mIoU before and after the lesson of that update.
    ``failures``: key frames of the whole run without an answer.
    """

    ious: dict[int, float]
    seconds: float
    up: int
    down: int
    lesson: tuple[float, float]
    failures: int


def run(
    labelled: LabelledClip, folder: Path, frames: int, kill_at: int | None, logs: Path,
) -> Outcome:
    """
    Let the robot see the first ``frames``, of which ``folder`` has the label maps.

    Who serves is killed at one of them, None: nobody.
    """
    trial = Trial(labelled.clip.path, labelled.clip.fps, frames,
                  student={'tutor': ','.join(TUTORS), 'goal_timeout': 60.0, 'status_period': 0.1})
    classes = len(ClassSet.load(config_file('lvs8', 'classes')))
    environment = {**os.environ, 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    killed = seconds = float('nan')
    up = down = 0
    lesson = (float('nan'), float('nan'))
    masks: dict[int, Mask] = {}
    with ExitStack() as stack:
        domain_id = stack.enter_context(own_domain())
        environment['ROS_DOMAIN_ID'] = str(domain_id)
        collector = stack.enter_context(Collector('/student', domain_id))
        tutors = {name: stack.enter_context(NodeProcess(
            'tutor_node', {'teacher': 'labels', 'teacher_weights': str(folder),
                           'labels_fps': labelled.clip.fps, 'threads': 1, 'seed': seed},
            logs / f'{name.strip("/")}.log', {'__node': name.strip('/')}, environment))
            for seed, name in enumerate(TUTORS)}
        stack.enter_context(student_process(trial, logs, environment))
        assert collector.wait_for_status(
            lambda s: s.state == StudentStatus.RUNNING, PATIENCE) is not None
        for name in TUTORS:
            assert collector.parameter(name, 'seed', PATIENCE) is not None
        stack.enter_context(replay_process(trial, logs, environment))
        before: StudentStatus | None = None
        while frames - 1 not in masks:
            received = collector.next_mask(PATIENCE)
            assert received is not None, f'no mask after frame {max(masks, default=0)}'
            index = round(received[0] * labelled.clip.fps * 1e-9)
            masks[index] = received[1]
            status = collector.status
            if before is None and kill_at is not None and index >= kill_at and status is not None:
                before, killed = status, time.monotonic()
                tutors[status.tutor].stop(signal.SIGKILL)
            elif before is not None and up == 0 and status is not None and (
                    # The other tutor counts on well above what the first one may have given.
                    status.tutor != before.tutor and status.version > before.version + 900):
                seconds = time.monotonic() - killed
                up = status.bytes_up - before.bytes_up
                down = status.bytes_down - before.bytes_down
                lesson = status.initial_metric, status.metric
        last = collector.wait_for_status(
            lambda s: s.frames_processed + s.frames_dropped >= frames, PATIENCE)
        assert last is not None
    return Outcome(
        {index: mean_iou_of_masks(mask, labelled.label(index).class_ids, classes)
         for index, mask in masks.items()}, seconds, up, down, lesson, last.failures)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description='two tutors, one of which is killed')
    parser.add_argument('--frames', type=int, default=260)
    parser.add_argument('--kill-at', default='80,130,180', help='frames')
    options = parser.parse_args(arguments)
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    teacher = create_teacher('yolo', classes, weights=str(teacher_weights()))
    video = Clip(clip(), options.frames)
    labelled = label_clip(video, teacher, classes)
    labels = LabelCache.of(video, teacher, classes).folder
    print('killed at   first update after s   KiB up   KiB down   its lesson   failures   '
          f'mIoU % of {WINDOW} frames   without a kill')
    with tempfile.TemporaryDirectory() as folder:
        calm = run(labelled, labels, options.frames, None, Path(folder) / 'calm')
        for kill_at in map(int, options.kill_at.split(',')):
            outcome = run(labelled, labels, options.frames, kill_at, Path(folder) / str(kill_at))
            window = [index for index in range(kill_at + 1, kill_at + 1 + WINDOW)
                      if index in outcome.ious and index in calm.ious]
            print(f'{kill_at:9} {outcome.seconds:22.2f} {outcome.up / 1024:8.0f} '
                  f'{outcome.down / 1024:10.1f} '
                  f'{100 * outcome.lesson[0]:5.1f} -> {100 * outcome.lesson[1]:4.1f} '
                  f'{outcome.failures:9} '
                  f'{100 * statistics.fmean(outcome.ious[i] for i in window):20.1f} '
                  f'{100 * statistics.fmean(calm.ious[i] for i in window):16.1f}', flush=True)


if __name__ == '__main__':
    main()
