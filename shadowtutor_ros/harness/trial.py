# SPDX-License-Identifier: Apache-2.0
"""One video through tutor, student and replay as three processes, no frame lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
import os
from pathlib import Path
import time

import numpy as np
from numpy.typing import NDArray
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.harness.collector import Collector, LOSSLESS
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.harness.usage import Usage, usage_of

_START_TIMEOUT = 120.0
_GOAL_TIMEOUT = 60.0  # the student's; it waits so long for an answer, more than once on a bad day
_MASK_TIMEOUT = 3 * _GOAL_TIMEOUT  # of the replay, which must not go on before, and of who looks
_CAMERA = '/camera/image_raw'

OnMask = Callable[[int, NDArray[np.uint8], int], None]


class TrialError(ShadowTutorError):
    """The nodes did not do what was expected of them in time."""


@dataclass(frozen=True)
class Trial:
    """
    The first ``frames`` of ``video`` and the parameters of the nodes that see it.

    ``fps`` is the video's own; frame i has the stamp i / fps. ``topic`` is a rosbag's.
    """

    video: Path
    fps: float
    frames: int
    tutor: Mapping[str, object] = field(default_factory=dict)
    student: Mapping[str, object] = field(default_factory=dict)
    topic: str = ''


@dataclass(frozen=True)
class TrialResult:
    """
    What the student node said: one status per event, the last one after the last frame.

    ``seconds`` is the wall time from the first frame sent to the last mask received. ``tutor`` and
    ``student`` are what these processes took after their start, where they were this machine's.
    """

    statuses: tuple[StudentStatus, ...]
    seconds: float
    tutor: Usage | None = None
    student: Usage | None = None

    @property
    def last(self) -> StudentStatus:
        """The status after the last frame."""
        return self.statuses[-1]

    def key_frames(self, fps: float) -> list[int]:
        """Return the indices of the frames that were sent to the tutor."""
        stamps = {_nanoseconds(status) for status in self.statuses if status.key_frames}
        return sorted(round(stamp * fps * 1e-9) for stamp in stamps)


def run_trial(trial: Trial, logs: Path, on_mask: OnMask) -> TrialResult:
    """
    Run the nodes in a ROS domain of their own on this machine and return what came out.

    ``on_mask(index, HxW class ids, key frames so far)`` is called for every frame in order.
    Raise TrialError or ProcessDied; the nodes' logs are in ``logs``.
    """
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    for log in logs.glob('*.log'):
        log.unlink()
    with ExitStack() as stack:
        domain_id = stack.enter_context(own_domain())
        environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain_id), 'PYTHONUNBUFFERED': '1'}
        collector = stack.enter_context(Collector('/student', domain_id))
        nodes = [stack.enter_context(node) for node in (
            tutor_process(trial, logs, environment), student_process(trial, logs, environment))]

        def alive() -> None:
            for node in nodes:
                node.check()

        if collector.wait_for_status(
                lambda s: s.state == StudentStatus.RUNNING, _START_TIMEOUT, alive) is None:
            raise TrialError(f'the student node did not start within {_START_TIMEOUT:g} s; '
                              f'see {logs}')
        tutor, student = pids = [node.pid for node in nodes]
        before = {pid: usage_of(pid) for pid in pids}
        nodes.append(stack.enter_context(replay_process(trial, logs, environment)))
        result = follow(trial, collector, on_mask, alive)
        alive()
        return replace(result, tutor=usage_of(tutor).since(before[tutor]),
                       student=usage_of(student).since(before[student]))


def tutor_process(
    trial: Trial, logs: Path, environment: Mapping[str, str], prefix: tuple[str, ...] = (),
) -> NodeProcess:
    """Return the tutor's process; ``prefix`` is put before its command."""
    return NodeProcess('tutor_node', {'threads': _threads(), **trial.tutor},
                       logs / 'tutor.log', environment=environment, prefix=prefix)


def student_process(
    trial: Trial, logs: Path, environment: Mapping[str, str], prefix: tuple[str, ...] = (),
) -> NodeProcess:
    """Return the student's process, with reliable topics."""
    parameters = {
        'stream_id': 'harness', 'policy': 'paced', 'goal_timeout': _GOAL_TIMEOUT,
        'threads': _threads(),
        'precision': 'fp32',  # the same masks on every machine
        **trial.student, **_lossless(_CAMERA, 'subscription'),
        **_lossless('/student/mask', 'publisher')}
    return NodeProcess('student_node', parameters, logs / 'student.log', {'image': _CAMERA},
                       environment, prefix)


def replay_process(
    trial: Trial, logs: Path, environment: Mapping[str, str], prefix: tuple[str, ...] = (),
    mask: str = '/student/mask',
) -> NodeProcess:
    """Return the replay's process, which sends the next frame when ``mask`` has come."""
    parameters = {
        'source': str(trial.video.resolve()), 'topic': trial.topic, 'pace': 'lockstep',
        'stamps': 'media', 'mask_timeout': _MASK_TIMEOUT,
        'frames': trial.frames, **_lossless(_CAMERA, 'publisher'),
        **_lossless(mask, 'subscription')}
    return NodeProcess('replay_node', parameters, logs / 'replay.log',
                       {'image': _CAMERA, 'mask': mask}, environment, prefix)


def camera_process(
    trial: Trial, logs: Path, environment: Mapping[str, str], prefix: tuple[str, ...] = (),
) -> NodeProcess:
    """
    Return the replay's process as a camera with ``trial.fps``, which waits for nobody.

    It begins again at the video's end; ``trial.frames`` 0 is for ever.
    """
    parameters = {
        'source': str(trial.video.resolve()), 'topic': trial.topic, 'pace': 'rate',
        'stamps': 'media', 'loop': True,
        'fps': trial.fps, 'frames': trial.frames, **_lossless(_CAMERA, 'publisher')}
    return NodeProcess('replay_node', parameters, logs / 'replay.log', {'image': _CAMERA},
                       environment, prefix)


def follow(
    trial: Trial, collector: Collector, on_mask: OnMask, alive: Callable[[], None],
) -> TrialResult:
    """Hand every mask on, in order; ``alive`` is called while waiting and may raise."""
    started = time.monotonic()
    for index in range(trial.frames):
        mask = _mask_of(index, trial.fps, collector, alive)
        on_mask(index, mask, collector.status.key_frames if collector.status else 0)
    seconds = time.monotonic() - started
    if collector.wait_for_status(
            lambda s: s.frames_processed >= trial.frames, _MASK_TIMEOUT, alive) is None:
        raise TrialError(f'no status of the student after frame {trial.frames - 1}')
    return TrialResult(collector.statuses, seconds)


def _mask_of(
    index: int, fps: float, collector: Collector, alive: Callable[[], None],
) -> NDArray[np.uint8]:
    deadline = time.monotonic() + _MASK_TIMEOUT
    while (received := collector.next_mask(1.0)) is None:
        alive()
        if time.monotonic() > deadline:
            raise TrialError(f'no mask of frame {index} within {_MASK_TIMEOUT:g} s')
    stamp, mask = received
    if round(stamp * fps * 1e-9) != index:
        raise TrialError(f'expected the mask of frame {index}, '
                          f'got that of frame {stamp * fps * 1e-9:.2f}')
    return mask


def _threads() -> int:
    """Tutor and student work at the same time: more threads than cores slow both manyfold."""
    return max(1, (os.cpu_count() or 2) // 2)


def _lossless(topic: str, side: str) -> dict[str, str | int]:
    return {f'qos_overrides.{topic}.{side}.{policy}': value
            for policy, value in LOSSLESS.items()}


def _nanoseconds(status: StudentStatus) -> int:
    stamp = status.key_frame_stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
