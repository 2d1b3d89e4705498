# SPDX-License-Identifier: Apache-2.0
"""The demo: label, run the three nodes, compare, and leave pictures and figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
import itertools
import os
from pathlib import Path
import time

import cv2
import numpy as np
from numpy.typing import NDArray
from shadowtutor_msgs.msg import StudentStatus
from tqdm import tqdm

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.demo.assets import clip, teacher_weights
from shadowtutor_ros.demo.collector import Collector, LOSSLESS
from shadowtutor_ros.demo.processes import NodeProcess
from shadowtutor_ros.distill.metric import mean_iou_of_masks
from shadowtutor_ros.evaluation.baselines import naive_jpeg_bytes, naive_raw_bytes, wild_miou
from shadowtutor_ros.evaluation.labels import label_frames
from shadowtutor_ros.evaluation.pictures import plot_miou, side_by_side
from shadowtutor_ros.evaluation.summary import Summary
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.video import FrameSource, VideoError, VideoWriter

_START_TIMEOUT = 120.0
_MASK_TIMEOUT = 60.0
_CLASSES = 'lvs8'
_SEED = 0
_JPEG_QUALITY = 90


class DemoError(Exception):
    """The demo cannot go on."""


@dataclass(frozen=True)
class DemoSettings:
    """``video`` None fetches a clip; ``weights`` None fetches the teacher's."""

    out: Path
    video: Path | None = None
    frames: int = 200
    weights: Path | None = None


@dataclass(frozen=True)
class _Stream:
    """What came out of the student node."""

    miou: list[float]
    key_frames: list[int]
    status: StudentStatus
    seconds: float


def run_demo(settings: DemoSettings) -> Summary:
    """
    Run the demo and write ``summary.json``, ``overlay.mp4``, ``frame.png`` and ``miou.png``.

    Raise DemoError, ProcessDied, AssetError, TeacherError or VideoError.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    video = settings.video or clip()
    weights = settings.weights or teacher_weights()
    source = FrameSource(str(video))
    frames = list(itertools.islice(source, settings.frames))
    if not frames:
        raise VideoError(f'{video}: no frames')
    classes = ClassSet.load(config_file(_CLASSES, 'classes'))
    teacher = create_teacher('yolo', classes, weights=str(weights))
    labels = label_frames(frames, len(frames), source.fps, teacher, classes)
    info = StudentInfo(classes.names, classes.colours)
    wild = wild_miou(Student.random(info, _SEED), frames, labels)

    stream = _run_nodes(settings.out, video, weights, source.fps, frames, labels, classes)
    plot_miou(settings.out / 'miou.png', f'{video.name}: student against {teacher.name}',
              stream.miou, wild, stream.key_frames)
    status, count = stream.status, len(frames)
    traffic = status.bytes_up + status.bytes_down
    answered = max(1, status.updates_applied)  # the last key frame may still be under way
    summary = Summary(
        video=video.name, teacher=teacher.name, frames=count,
        miou=100 * float(np.mean(stream.miou)), wild_miou=100 * float(np.mean(wild)),
        key_frames=status.key_frames, key_frame_ratio=100 * status.key_frames / count,
        steps_per_key_frame=status.distillation_steps / answered,
        bytes_up_per_key_frame=status.bytes_up / max(1, status.key_frames),
        bytes_down_per_key_frame=status.bytes_down / answered,
        bytes_per_frame=traffic / count,
        naive_raw_bytes_per_frame=naive_raw_bytes(frames[0]),
        naive_jpeg_bytes_per_frame=naive_jpeg_bytes(frames, labels, _JPEG_QUALITY),
        fps=count / stream.seconds, failures=status.failures)
    summary.write(settings.out / 'summary.json')
    return summary


def _run_nodes(
    out: Path, video: Path, weights: Path, fps: float, frames: list[NDArray[np.uint8]],
    labels: NDArray[np.uint8], classes: ClassSet,
) -> _Stream:
    domain_id = 1 + os.getpid() % 100
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(domain_id),
                   'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST', 'PYTHONUNBUFFERED': '1'}
    os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
    # Tutor and student work at the same time: more threads than cores slow both manyfold.
    threads = max(1, (os.cpu_count() or 2) // 2)
    logs = out / 'logs'
    for log in logs.glob('*.log'):
        log.unlink()
    camera = '/camera/image_raw'
    tutor = NodeProcess('tutor_node', {
        'teacher': 'yolo', 'teacher_weights': str(weights), 'classes': _CLASSES,
        'seed': _SEED, 'threads': threads}, logs / 'tutor.log', environment=environment)
    student = NodeProcess('student_node', {
        'stream_id': 'demo', 'policy': 'paced', 'jpeg_quality': _JPEG_QUALITY,
        'goal_timeout': 60.0, 'threads': threads, **_lossless(camera, 'subscription'),
        **_lossless('/student/mask', 'publisher')},
        logs / 'student.log', {'image': camera}, environment)
    replay = NodeProcess('replay_node', {
        'source': str(video.resolve()), 'pace': 'lockstep', 'stamps': 'media',
        'frames': len(frames), **_lossless(camera, 'publisher'),
        **_lossless('/student/mask', 'subscription')},
        logs / 'replay.log', {'image': camera, 'mask': '/student/mask'}, environment)
    with ExitStack() as stack:
        collector = stack.enter_context(Collector('/student', domain_id))
        nodes = [stack.enter_context(tutor), stack.enter_context(student)]

        def alive() -> None:
            for node in nodes:
                node.check()

        print('starts tutor and student ...', flush=True)
        if collector.wait_for_status(
                lambda s: s.state == StudentStatus.RUNNING, _START_TIMEOUT, alive) is None:
            raise DemoError(f'the student node did not start within {_START_TIMEOUT:g} s; '
                            f'see {logs}')
        nodes.append(stack.enter_context(replay))
        return _watch(out, fps, frames, labels, classes, collector, alive)


def _watch(
    out: Path, fps: float, frames: list[NDArray[np.uint8]], labels: NDArray[np.uint8],
    classes: ClassSet, collector: Collector, alive: Callable[[], None],
) -> _Stream:
    """Follow the masks, one for every frame in order, and write the side-by-side video."""
    miou: list[float] = []
    started = time.monotonic()
    with VideoWriter(out / 'overlay.mp4', fps) as writer, \
            tqdm(total=len(frames), desc='student over DDS', unit='frame') as bar:
        for index, (frame, label) in enumerate(zip(frames, labels)):
            mask = _mask_of(index, fps, collector, alive)
            miou.append(mean_iou_of_masks(mask, label, len(classes)))
            picture = side_by_side(frame, label, mask, classes.colours, (
                f'frame {index}', 'teacher', f'student, mIoU {100 * miou[-1]:.0f} %'))
            writer.write(picture)
            if index == len(frames) * 3 // 4:
                cv2.imwrite(str(out / 'frame.png'), picture)
            ratio = len(collector.key_frame_stamps) / len(miou)
            bar.set_postfix_str(
                f'mIoU {100 * np.mean(miou):.1f} %, key frames {100 * ratio:.1f} %',
                refresh=False)
            bar.update()
    seconds = time.monotonic() - started
    status = collector.wait_for_status(
        lambda s: s.frames_processed >= len(frames), _MASK_TIMEOUT, alive)
    if status is None:
        raise DemoError(f'no status of the student after frame {len(frames) - 1}')
    key_frames = sorted(collector.key_frame_stamps)
    return _Stream(miou, [round(stamp * fps * 1e-9) for stamp in key_frames], status, seconds)


def _mask_of(
    index: int, fps: float, collector: Collector, alive: Callable[[], None],
) -> NDArray[np.uint8]:
    deadline = time.monotonic() + _MASK_TIMEOUT
    while (received := collector.next_mask(1.0)) is None:
        alive()
        if time.monotonic() > deadline:
            raise DemoError(f'no mask of frame {index} within {_MASK_TIMEOUT:g} s')
    stamp, mask = received
    if round(stamp * fps * 1e-9) != index:
        raise DemoError(f'expected the mask of frame {index}, '
                        f'got that of frame {stamp * fps * 1e-9:.2f}')
    return mask


def _lossless(topic: str, side: str) -> dict[str, str]:
    return {f'qos_overrides.{topic}.{side}.{policy}': value
            for policy, value in LOSSLESS.items()}
