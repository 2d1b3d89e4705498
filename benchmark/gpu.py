# SPDX-License-Identifier: Apache-2.0
"""
What a GPU makes of it: student, training, teacher and a whole key frame, in under five minutes.

    scripts/in_env.sh python benchmark/gpu.py [--device cuda] [--json FILE]

Runs on a CPU too (``--device cpu``), where it shows that it works and little else.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
import json
from pathlib import Path
import statistics
import time
from typing import Any

from bench import make_scene, Scene
import cv2
import numpy as np
import torch

from shadowtutor_ros.assets import teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.model.engine import pick_precision
from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.update import KeyFrame

SIZES = {'360p': (640, 360), '720p': (1280, 720), '1080p': (1920, 1080)}
CAMERA_FPS = 30
STEPS = 8
KEY_FRAMES = 5


def median_seconds(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the median seconds of one call, its work on the device included."""
    times = []
    for _ in range(rounds + 2):
        started = time.perf_counter()
        work()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[2:])


def students(scene: Scene, device: torch.device, rounds: int) -> dict[str, Any]:
    """Return frames per second by size and precision, from and to host memory."""
    names = ('fp32', 'fp16', 'bf16') if device.type == 'cuda' else ('fp32',)
    found: dict[str, Any] = {}
    for label, size in SIZES.items():
        frame = np.asarray(cv2.resize(scene.frame, size), np.uint8)
        exact = load_checkpoint(scene.checkpoint).segment(frame)
        for name in names:
            student = load_checkpoint(scene.checkpoint, device=device)
            student.precision = pick_precision(name, device)
            same = float((student.segment(frame) == exact).mean())
            if device.type == 'cuda':
                # Whatever else than the mask's copy made the host wait would raise.
                torch.cuda.set_sync_debug_mode('error')
                try:
                    student.segment(frame)
                finally:
                    torch.cuda.set_sync_debug_mode('default')
            seconds = median_seconds(lambda: student.segment(frame), device, rounds)  # noqa: B023
            found[f'{label} {name}'] = {
                'fps': 1 / seconds, 'ms': 1e3 * seconds, 'pixels_as_cpu_fp32': same}
    return found


def key_frames(scene: Scene, device: torch.device) -> dict[str, float]:
    """Return median milliseconds of a key frame at the tutor, by part, at 720p."""
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    teacher = create_teacher(
        'yolo', classes, weights=str(teacher_weights()), device=str(device))
    student = load_checkpoint(scene.checkpoint, device=device)
    settings = DistillSettings(threshold=0.9999, max_updates=STEPS, cold_start_updates=STEPS,
                               cold_start_group=PARTIAL)
    tutor = Tutor(teacher, student, TutorSettings(settings))
    first = tutor.first_student('bench')
    encoded = encode_frame(scene.frame, 'jpeg', 75)
    version, updates, times = first.version, [], []
    for sequence in range(1, KEY_FRAMES + 2):
        key_frame = KeyFrame('bench', sequence, first.session_id, version, 0, '', encoded)
        started = time.perf_counter()
        update = tutor.distill(key_frame)
        times.append(time.perf_counter() - started)
        updates.append(update)
        version = update.version
    updates, times = updates[1:], times[1:]
    return {'turnaround_ms': 1e3 * statistics.median(times),
            'teacher_ms': 1e3 * statistics.median(u.teacher_time for u in updates),
            'training_ms': 1e3 * statistics.median(u.training_time for u in updates),
            'steps': float(STEPS)}


def step_ms(scene: Scene, device: torch.device) -> float:
    """Return the median milliseconds of a partial distillation step at 720p."""
    moments: list[float] = []
    settings = DistillSettings(threshold=0.9999, cold_start_updates=STEPS + 4,
                               cold_start_group=PARTIAL)
    Trainer(load_checkpoint(scene.checkpoint, device=device), settings).train(
        scene.frame, scene.labelling, lambda *_: moments.append(time.perf_counter()))
    return 1e3 * float(np.median(np.diff(moments)[4:]))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description='the figures of one GPU')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--rounds', type=int, default=200)
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'out')
    parser.add_argument('--json', type=Path, help='default: OUT/gpu.json')
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    device = pick_device(arguments.device)
    keep_freed_memory()
    scene = make_scene(arguments.out)
    tutor = key_frames(scene, device)
    results: dict[str, Any] = {
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else 'cpu',
        'torch': torch.__version__,
        'student': students(scene, device, arguments.rounds),
        'step_ms': step_ms(scene, device),
        'key_frame': tutor,
        # Streams at 30 frames per second of which one in 64 or in 8 is a key frame.
        'streams_per_device': {
            stride: stride / CAMERA_FPS / (1e-3 * tutor['turnaround_ms'])
            for stride in (8, 64)}}
    text = json.dumps(results, indent=2)
    (arguments.json or arguments.out / 'gpu.json').write_text(text)
    print(text)


if __name__ == '__main__':
    main()
