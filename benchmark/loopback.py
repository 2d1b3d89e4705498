# SPDX-License-Identifier: Apache-2.0
"""
Key frames of two robots over loopback while every CPU is busy: none is lost or answered twice.

benchmark/loopback.py [--key-frames 2000] [--robots 2] [--burners 2]
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.dds import profile_environment
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.harness.collector import Collector
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.processes import NodeProcess

FPS = 20.0
LABELS_FPS = 0.01  # one is like the other
TUTOR: Mapping[str, object] = {
    'teacher': 'labels', 'labels_fps': LABELS_FPS, 'checkpoint': 'random', 'threads': 1,
    'max_updates': 1, 'cold_start_updates': 1}
STUDENT: Mapping[str, object] = {'min_stride': 8, 'max_stride': 8, 'threads': 1,
                                 'goal_timeout': 30.0, 'status_period': 0.5}


class TrialFailed(ShadowTutorError):
    """The robots did not send enough key frames in time."""


@dataclass(frozen=True)
class Count:
    """One robot's key frames, all but the one that was under way at the end."""

    key_frames: int
    applied: int
    rejected: int
    failures: int
    least_quality: int

    @property
    def lost(self) -> int:
        """Key frames without an answer; below 0: there were more answers."""
        return self.key_frames - self.applied - self.rejected


def film(folder: Path, frames: int = 40, size: tuple[int, int] = (96, 128)) -> tuple[Path, Path]:
    """Make a video of a square in noise and its label maps, for a night."""
    video, labels = folder / 'square.avi', folder / 'labels.npz'
    label = np.full(size, 8, np.uint8)
    label[30:70, 40:80] = 0
    noise = np.random.default_rng(0)
    writer = cv2.VideoWriter(
        str(video), cv2.VideoWriter.fourcc(*'MJPG'), FPS, (size[1], size[0]))
    for _ in range(frames):
        square = np.where(label == 0, 180, 40)[..., None]
        writer.write((square + noise.integers(0, 60, (*size, 3))).astype(np.uint8))
    writer.release()
    np.savez_compressed(labels, labels=np.tile(label, (round(36_000 * LABELS_FPS), 1, 1)))
    return video, labels


def run(key_frames: int, robots: int, burners: int, folder: Path, limit: float) -> list[Count]:
    """Return what each robot counted; raise TrialFailed after ``limit`` seconds."""
    video, labels = film(folder)
    with ExitStack() as stack:
        domain_id = stack.enter_context(own_domain())
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        environment = {**os.environ, **profile_environment('fastdds'),
                       'ROS_DOMAIN_ID': str(domain_id), 'PYTHONUNBUFFERED': '1'}

        def node(name: str, robot: str, parameters: Mapping[str, object]) -> None:
            stack.enter_context(NodeProcess(
                f'{name}_node', parameters, folder / f'{name}{robot}.log',
                {'__ns': f'/{robot}', 'image': 'camera'} if robot else {}, environment))

        node('tutor', '', {**TUTOR, 'teacher_weights': str(labels)})
        watches = []
        for number in range(robots):
            robot = f'robot{number}'
            watches.append(stack.enter_context(Collector(f'/{robot}/student', domain_id)))
            node('student', robot, STUDENT)
            node('replay', robot, {'source': str(video), 'loop': True, 'stamps': 'media'})
        for _ in range(burners):
            burner = subprocess.Popen([sys.executable, '-c', 'while True: pass'])
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        deadline = time.monotonic() + limit
        for watch in watches:
            if watch.wait_for_status(lambda status: status.key_frames * robots >= key_frames,
                                     deadline - time.monotonic()) is None:
                raise TrialFailed(f'expected {key_frames} key frames in {limit:g} s, '
                                  f'the last status is {watch.status}')
        return [_count(watch.statuses) for watch in watches]


def _count(statuses: Sequence[StudentStatus]) -> Count:
    last = statuses[-1]
    running = [status for status in statuses if status.state == StudentStatus.RUNNING]
    return Count(last.key_frames - (last.link == StudentStatus.LINK_BUSY), last.updates_applied,
                 last.updates_rejected, last.failures,
                 min(status.jpeg_quality for status in running))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--key-frames', type=int, default=2000, help='of all robots together')
    parser.add_argument('--robots', type=int, default=2)
    parser.add_argument('--burners', type=int, default=os.cpu_count() or 1,
                        help='processes that only compute')
    parser.add_argument('--limit', type=float, default=3600.0, help='seconds')
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        counts = run(options.key_frames, options.robots, options.burners, Path(folder),
                     options.limit)
    for count in counts:
        print(f'{count.key_frames} key frames, {count.applied} updates, {count.lost} lost, '
              f'{count.rejected} rejected, {count.failures} failures, '
              f'least quality {count.least_quality}')


if __name__ == '__main__':
    main()
