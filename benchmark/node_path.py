# SPDX-License-Identifier: Apache-2.0
"""
From the camera's message to the mask's, part by part, and the student node as a process.

    scripts/in_env.sh python benchmark/node_path.py [--fps 30] [--seconds 15]

The parts are timed in this process at 1280x720; then replay_node publishes that picture to a real
student_node, which has no tutor, and the node's CPU time is read from /proc. Camera and student
share this machine's cores.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
import os
from pathlib import Path
import statistics
import tempfile
import time

import cv2
import numpy as np
from paired import seconds_of
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from shadowtutor_msgs.msg import StudentStatus
import torch

from shadowtutor_ros.assets import clip
from shadowtutor_ros.dds import profile_environment
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.harness.collector import Collector
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.nodes.toolkit.placement import default_threads
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.pixels import image_to_bgr

SIZE = 1280, 720
ROUNDS = 30
START = 60.0  # seconds


def parts(student: Student, frame: Frame) -> dict[str, float]:
    """Return median milliseconds of every part."""
    header = header_to_msg(0, 'camera')
    camera = image_from_array(frame, 'bgr8', header)
    wire = serialize_message(camera)
    mask = student.segment(frame)
    published = image_from_array(mask, 'mono8', header)
    weights = {name: t.clone() for name, t in student.weights('partial').items()}
    works = {
        'DDS bytes to message': lambda: deserialize_message(wire, Image),
        'message to BGR': lambda: image_to_bgr(camera),
        'normalise': lambda: student.prepare(frame),
        'segment (normalise included)': lambda: student.segment(frame),
        'mask to message': lambda: image_from_array(mask, 'mono8', header),
        'message to DDS bytes': lambda: serialize_message(published),
        'swap of partial weights': lambda: student.load(weights)}
    found = {}
    for name, work in works.items():
        work()
        found[name] = 1e3 * statistics.median(seconds_of(work) for _ in range(ROUNDS))
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has had so far."""
    fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def node(
    checkpoint: Path, frame: Frame, fps: float, seconds: float, parameters: dict[str, object],
) -> dict[str, float]:
    """Return what the student node did and used while ``fps`` frames a second came."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        # As ros2 launch does: without it large images are lost between two processes.
        environment = {**os.environ, **profile_environment('fastdds')}
        video = Path(folder) / 'video'
        video.mkdir()
        for index in range(4):
            cv2.imwrite(str(video / f'{index}.bmp'), frame)
        collector = stack.enter_context(
            Collector('/student', int(os.environ.get('ROS_DOMAIN_ID', '0'))))
        student = stack.enter_context(NodeProcess(
            'student_node', {'checkpoint': str(checkpoint), 'tutor': '/nobody',
                             'status_period': 0.1, **parameters}, Path(folder) / 'student.log',
            environment=environment))
        stack.enter_context(NodeProcess(
            'replay_node', {'source': str(video), 'fps': fps, 'loop': True},
            Path(folder) / 'replay.log', environment=environment))

        def status(frames: int) -> StudentStatus:
            found = collector.wait_for_status(
                lambda s: s.frames_processed >= frames, START, student.check)
            if found is None:
                raise TimeoutError('the student node does not segment')
            return found

        first = status(20)  # libraries are loaded
        before, started = cpu_seconds(student.pid), time.perf_counter()
        time.sleep(seconds)
        used, passed = cpu_seconds(student.pid) - before, time.perf_counter() - started
        last = collector.status
        assert last is not None
        frames = last.frames_processed - first.frames_processed
        return {'frames per second': frames / passed, 'CPU cores used': used / passed,
                'CPU ms per frame': 1e3 * used / max(1, frames), 'inference ms': last.inference_ms,
                'frames dropped': float(last.frames_dropped - first.frames_dropped)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description='what a frame costs on its way through the node')
    parser.add_argument('--checkpoint', type=Path,
                        default=Path(__file__).parent / 'out' / 'student.safetensors',
                        help='a taught student; make bench leaves one (default %(default)s)')
    parser.add_argument('--fps', type=float, default=30.0)
    parser.add_argument('--seconds', type=float, default=15.0)
    parser.add_argument('--threads', type=int, default=0, help='parameter of the student node')
    arguments = parser.parse_args()
    torch.set_num_threads(default_threads(set()))
    keep_freed_memory()
    frame = np.asarray(cv2.resize(next(iter(Clip(clip(), 1))), SIZE), np.uint8)
    for name, milliseconds in parts(load_checkpoint(arguments.checkpoint), frame).items():
        print(f'{name:<30} {milliseconds:8.3f} ms')
    print(f'\nstudent_node, {SIZE[0]}x{SIZE[1]} bgr8 at {arguments.fps:g} frames per second:')
    for name, value in node(
            arguments.checkpoint, frame, arguments.fps, arguments.seconds,
            {'threads': arguments.threads}).items():
        print(f'{name:<30} {value:8.2f}')


if __name__ == '__main__':
    main()
