# SPDX-License-Identifier: Apache-2.0
"""
Sees what a node publishes and when, as a process that can stand in a namespace.

``python -m shadowtutor_ros.harness.watch NODE FRAMES FPS [--student]`` prints ``ready``, then one
line of JSON, a Seen. ``... watch NODE --live [--masks FOLDER]`` prints ``ready``, then a line of
JSON for every status of a student node until it is ended; the masks go to FOLDER.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass
import json
import os
from pathlib import Path
import time

import cv2
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.harness.collector import Collector

_START_TIMEOUT = 120.0
_MASK_TIMEOUT = 120.0
_FIGURES = ('key_frames', 'updates_applied', 'failures', 'distillation_steps', 'bytes_up',
            'bytes_down', 'steps', 'turnaround_ms', 'queue_ms', 'teacher_ms', 'training_ms')
_LIVE_FIGURES = (*_FIGURES, 'state', 'frames_processed', 'frames_dropped', 'inference_ms')


@dataclass(frozen=True)
class Seen:
    """
    ``times`` at which mask 0, 1, ... came, in seconds of the monotonic clock.

    ``statuses`` are the student's, one per event, as numbers by field name; none of a teacher.
    """

    times: list[float]
    statuses: list[dict[str, float]]

    @staticmethod
    def from_json(text: str) -> Seen:
        """Return what the process printed."""
        return Seen(**json.loads(text))


def watch(node: str, frames: int, fps: float, is_student: bool) -> Seen:
    """
    Return the times of ``frames`` masks of ``node``, frame i stamped i / fps.

    A student is ready once it runs, a teacher once it is there. Raise TimeoutError when
    nothing comes for too long, ValueError when another frame's mask comes.
    """
    with Collector(node, int(os.environ.get('ROS_DOMAIN_ID', '0'))) as collector:
        if is_student and collector.wait_for_status(
                lambda s: s.state == StudentStatus.RUNNING, _START_TIMEOUT) is None:
            raise TimeoutError(f'{node} did not start within {_START_TIMEOUT:g} s')
        if not collector.wait_for_publisher(_START_TIMEOUT):
            raise TimeoutError(f'{node} published no mask within {_START_TIMEOUT:g} s')
        print('ready', flush=True)
        times = []
        for index in range(frames):
            received = collector.next_mask(_MASK_TIMEOUT)
            times.append(time.monotonic())
            if received is None:
                raise TimeoutError(f'no mask of frame {index} within {_MASK_TIMEOUT:g} s')
            if received[0] != round(index * 1e9 / fps):
                raise ValueError(f'expected the mask of frame {index}, '
                                 f'got that of frame {received[0] * fps * 1e-9:.2f}')
        if is_student and collector.wait_for_status(
                lambda s: s.frames_processed >= frames, _MASK_TIMEOUT) is None:
            raise TimeoutError(f'no status of {node} after frame {frames - 1}')
        return Seen(times, [_figures(status, _FIGURES) for status in collector.statuses])


def watch_live(node: str, masks: Path | None) -> None:
    """
    Print every status of ``node`` with the ``time`` (monotonic, s) at which it came, for ever.

    Every mask is kept as ``masks``/<stamp in ns>.png, or not at all.
    """
    with Collector(node, int(os.environ.get('ROS_DOMAIN_ID', '0'))) as collector:
        print('ready', flush=True)
        told = 0
        while True:
            _wait_for_more(collector, told)
            now = time.monotonic()
            for status in collector.statuses[told:]:
                print(json.dumps({'time': now, **_figures(status, _LIVE_FIGURES)}), flush=True)
                told += 1
            while received := collector.next_mask(0.0):
                if masks:
                    cv2.imwrite(str(masks / f'{received[0]}.png'), received[1])


def _wait_for_more(collector: Collector, than: int) -> None:
    collector.wait_for_status(lambda status: len(collector.statuses) > than, 1.0)


def _figures(status: StudentStatus, names: Sequence[str]) -> dict[str, float]:
    return {name: float(getattr(status, name)) for name in names}


def main() -> None:
    """Run one watch from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('node')
    parser.add_argument('frames', type=int, nargs='?')
    parser.add_argument('fps', type=float, nargs='?')
    parser.add_argument('--student', action='store_true')
    parser.add_argument('--live', action='store_true')
    parser.add_argument('--masks', type=Path)
    a = parser.parse_args()
    if a.live:
        watch_live(a.node, a.masks)
    print(json.dumps(asdict(watch(a.node, a.frames, a.fps, a.student))), flush=True)


if __name__ == '__main__':
    main()
