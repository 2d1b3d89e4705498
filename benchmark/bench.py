# SPDX-License-Identifier: Apache-2.0
"""
The product against a plain implementation of the paper, side by side in one run.

    make bench                                        # all of it
    scripts/in_env.sh python benchmark/bench.py --quick     # fewer rounds, no scaling

It says so when something else was in the way. A student is taught a real frame first: an
untaught one's masks are noise. Prints a table, writes bench.json with ``ratios`` (speed-ups,
and memory as a fraction of the reference's) and, unless ``--quick``, scaling.png: the cost over
the size of the image and the number of classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
import json
import os
from pathlib import Path
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

import cv2
import numpy as np
from paired import disturbances, paired_seconds, peak_bytes, seconds_of, speed_up
from reference import Reference
import torch

from shadowtutor_ros.assets import clip, teacher_weights
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.checkpoint import load_checkpoint, save_checkpoint
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.runtime.waiting import CpuWaiting
from shadowtutor_ros.share import config_file
from shadowtutor_ros.tasks.segmentation.loss import pixel_weights
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import Labelling

SIZE = 1280, 720
STEPS = 8  # of a key frame, the paper's MAX_UPDATES
OUT_OF_REACH = 0.9999  # a threshold that no step reaches
NO_BOXES = np.zeros((0, 4), np.float32)
MEGAPIXELS = 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0
CLASSES = 2, 5, 9, 20, 40, 80, 150
MEMORY = ('inference reference', 'inference product', 'step reference', 'step product')


@dataclass(frozen=True)
class Scene:
    """A real frame with its label, and a student that was taught it."""

    frame: Frame
    label: Mask
    boxes: np.ndarray
    checkpoint: Path

    @property
    def student(self) -> Student:
        """A fresh copy of the student."""
        return load_checkpoint(self.checkpoint)

    @property
    def labelling(self) -> Labelling:
        """The label as the teacher gives it."""
        return Labelling(self.label, self.boxes)

    @property
    def weights(self) -> torch.Tensor:
        """Return the loss' weight of every pixel."""
        settings = DistillSettings.plain()
        return pixel_weights(
            self.label.shape, self.boxes, settings.object_weight, settings.box_margin)


def make_scene(out: Path) -> Scene:
    """Return the first frame of a real clip at 720p, labelled by a real teacher."""
    classes = ClassSet.load(config_file('lvs8', 'classes'))
    teacher = create_teacher('yolo', classes, weights=str(teacher_weights()))
    labelled = label_clip(Clip(clip(), 1), teacher, classes)
    labelling = labelled.label(0)
    small = next(iter(labelled.clip))
    boxes = labelling.boxes * (np.array(SIZE * 2) / np.array(small.shape[1::-1] * 2))
    frame = np.asarray(cv2.resize(small, SIZE), np.uint8)
    label = np.asarray(cv2.resize(labelling.class_ids, SIZE, interpolation=cv2.INTER_NEAREST))
    checkpoint = out / 'student.safetensors'
    student = Student.random(StudentInfo(classes.names, classes.colours), 0)
    Trainer(student, DistillSettings.plain()).train(
        frame, Labelling(label, boxes.astype(np.float32)))
    save_checkpoint(student, checkpoint)
    return Scene(frame, label, boxes.astype(np.float32), checkpoint)


def reference_of(
    student: Student, layout: torch.memory_format = torch.contiguous_format,
) -> Reference:
    """Return the plain implementation with the student's weights."""
    return Reference(student.weights(FULL), student.info.mean, student.info.std, layout)


def bench_inference(scene: Scene, rounds: int) -> dict[str, list[float]]:
    """Return seconds per frame."""
    student = scene.student
    plain = reference_of(student)
    layout = reference_of(student, torch.channels_last)
    return paired_seconds({
        'reference': lambda: plain.segment(scene.frame),
        'reference, channels_last': lambda: layout.segment(scene.frame),
        'product': lambda: student.segment(scene.frame)}, rounds)


def lesson_of_reference(
    scene: Scene, steps: int = STEPS,
    on_step: Callable[[int, float, float], None] = lambda step, metric, loss: None,
) -> float:
    """Teach a fresh reference the scene again; return its metric."""
    return reference_of(scene.student).distill(
        scene.frame, scene.label, scene.weights, OUT_OF_REACH, steps, on_step=on_step)[0]


def lesson_of_product(
    scene: Scene, steps: int = STEPS,
    on_step: Callable[[int, float, float], None] = lambda step, metric, loss: None,
) -> float:
    """Teach a fresh student the scene again; return its metric."""
    settings = DistillSettings.plain(threshold=OUT_OF_REACH, cold_start_updates=steps,
                               cold_start_group=PARTIAL)
    return Trainer(scene.student, settings).train(
        scene.frame, scene.labelling, on_step).metric


def bench_lessons(scene: Scene, rounds: int) -> dict[str, Any]:
    """Return seconds per step and per key frame of both, and the metrics that they reach."""
    lessons = {'reference': lesson_of_reference, 'product': lesson_of_product}
    steps: dict[str, list[float]] = {name: [] for name in lessons}
    whole: dict[str, list[float]] = {name: [] for name in lessons}
    metrics: dict[str, float] = {}
    for _ in range(rounds):
        for name, lesson in lessons.items():
            moments: list[float] = []
            started = time.perf_counter()
            metrics[name] = lesson(
                scene, on_step=lambda *_, moments=moments: moments.append(time.perf_counter()))
            whole[name].append(time.perf_counter() - started)
            steps[name].append(statistics.median(np.diff(moments)))
    return {'step': steps, 'key_frame': whole, 'metric': metrics}


def measure_memory(case: str, scene: Scene) -> int:
    """Return the bytes that one case needs at most beside what is loaded."""
    student = scene.student
    plain = reference_of(student)
    small = Scene(scene.frame[:64, :64], scene.label[:64, :64], NO_BOXES, scene.checkpoint)
    work: dict[str, Callable[[Scene], object]] = {
        'inference reference': lambda s: plain.segment(s.frame),
        'inference product': lambda s: student.segment(s.frame),
        'step reference': lambda s: lesson_of_reference(s, 2),
        'step product': lambda s: lesson_of_product(s, 2)}
    work[case](small)  # load the libraries
    return peak_bytes(lambda: work[case](scene))


def bench_memory(out: Path) -> dict[str, int]:
    """Return the peak bytes of every case, each measured in a process of its own."""
    found = {}
    for case in MEMORY:
        done = subprocess.run(
            [sys.executable, __file__, '--out', str(out), '--memory', case],
            capture_output=True, text=True, check=True)
        found[case] = int(done.stdout.split()[-1])
    return found


def bench_scaling(scene: Scene, rounds: int) -> dict[str, Any]:
    """Return median seconds of a frame over megapixels, and of frame and step over classes."""
    sizes = {}
    student = scene.student
    for megapixels in MEGAPIXELS:
        width = round((megapixels * 1e6 * 16 / 9) ** 0.5 / 16) * 16
        height = round(width * 9 / 16 / 8) * 8
        frame = np.asarray(cv2.resize(scene.frame, (width, height)), np.uint8)
        student.segment(frame)
        sizes[f'{width}x{height}'] = {
            'megapixels': width * height / 1e6,
            'inference': statistics.median(
                seconds_of(lambda f=frame: student.segment(f)) for _ in range(rounds))}
    classes = {}
    for count in CLASSES:
        other = with_classes(student, count)
        moments: list[float] = []
        other.segment(scene.frame)
        inference = statistics.median(
            seconds_of(lambda s=other: s.segment(scene.frame)) for _ in range(rounds))
        settings = DistillSettings.plain(threshold=OUT_OF_REACH, cold_start_updates=3,
                                   cold_start_group=PARTIAL)
        Trainer(other, settings).train(
            scene.frame, Labelling(np.minimum(scene.label, count - 1)),
            lambda *_, moments=moments: moments.append(time.perf_counter()))
        classes[count] = {
            'inference': inference, 'step': float(statistics.median(np.diff(moments)))}
    return {'sizes': sizes, 'classes': classes}


def with_classes(student: Student, count: int) -> Student:
    """Return the student with ``count`` classes: the first ones its own, others never seen."""
    other = Student.random(StudentInfo(tuple(f'class {i}' for i in range(count))), 0)
    own = student.weights(FULL)
    tensors = {name: own[name] for name in own if not name.startswith('out_conv3')}
    for name in ('out_conv3.weight', 'out_conv3.bias'):
        tensor = other.weights(FULL)[name].clone()
        kept = min(count, own[name].shape[0])
        tensor[:kept] = own[name][:kept]
        if name.endswith('bias'):
            tensor[kept:] = -1000.0
        tensors[name] = tensor
    other.load(tensors)
    return other


def plot(scaling: dict[str, Any], path: Path) -> None:
    """Draw the cost over size and over classes."""
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout='constrained')
    sizes = list(scaling['sizes'].values())
    left.plot([s['megapixels'] for s in sizes], [1e3 * s['inference'] for s in sizes], 'o-')
    left.set(xlabel='megapixels', ylabel='ms per frame', xlim=0, ylim=0,
             title='inference, 9 classes')
    classes = scaling['classes']
    for name in ('inference', 'step'):
        right.plot(list(classes), [1e3 * c[name] for c in classes.values()], 'o-', label=name)
    right.set(xlabel='classes', ylabel='ms', xlim=0, ylim=0, title='1280x720')
    right.legend()
    figure.savefig(path, dpi=120)


def ratios_of(inference: dict[str, list[float]], lessons: dict[str, Any],
              memory: dict[str, int]) -> dict[str, float]:
    """Return the six figures."""
    return {
        'inference_vs_reference': speed_up(inference['reference'], inference['product']),
        'inference_vs_channels_last': speed_up(
            inference['reference, channels_last'], inference['product']),
        'step_vs_reference': speed_up(
            lessons['step']['reference'], lessons['step']['product']),
        'key_frame_vs_reference': speed_up(
            lessons['key_frame']['reference'], lessons['key_frame']['product']),
        'memory_inference': memory['inference product'] / memory['inference reference'],
        'memory_step': memory['step product'] / memory['step reference']}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description='the product against the paper, plainly written')
    parser.add_argument('--out', type=Path, default=Path(__file__).parent / 'out')
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--quick', action='store_true', help='fewer rounds, no scaling')
    parser.add_argument('--memory', choices=MEMORY, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()  # as the nodes do; the reference profits too
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(1)
    stored = out / 'scene.npz'
    if arguments.memory:
        with np.load(stored) as data:
            scene = Scene(data['frame'], data['label'], data['boxes'], out / 'student.safetensors')
        print(measure_memory(arguments.memory, scene))
        return
    scene = make_scene(out)
    np.savez(stored, frame=scene.frame, label=scene.label, boxes=scene.boxes)
    quick = arguments.quick
    waiting = CpuWaiting()
    inference = bench_inference(scene, 5 if quick else 15)
    lessons = bench_lessons(scene, 1 if quick else 5)
    waited = waiting.share()
    memory = bench_memory(out)
    same = float((reference_of(scene.student).segment(scene.frame)
                  == scene.student.segment(scene.frame)).mean())
    results: dict[str, Any] = {
        'ratios': ratios_of(inference, lessons, memory),
        'machine': {'processor': platform.machine(), 'threads': arguments.threads,
                    'torch': torch.__version__},
        'same_pixels': same, 'metric_after_lesson': lessons['metric'],
        'seconds': {'inference': inference, 'step': lessons['step'],
                    'key_frame': lessons['key_frame']},
        'peak_bytes': memory}
    results['disturbed'] = disturbances(results['seconds'], waited)
    if not quick:
        results['scaling'] = bench_scaling(scene, 5)
        plot(results['scaling'], out / 'scaling.png')
    (out / 'bench.json').write_text(json.dumps(results, indent=2))
    print_table(results)
    print(f'\n{out / "bench.json"}')


def print_table(results: dict[str, Any]) -> None:
    """Print what was measured, times as medians in milliseconds."""
    for what, times in results['seconds'].items():
        for name, values in times.items():
            print(f'{what:<10} {name:<26} {1e3 * statistics.median(values):9.1f} ms')
    for case, size in results['peak_bytes'].items():
        print(f'memory     {case:<26} {size / 2**20:9.1f} MiB')
    print(f'same pixels of the mask {100 * results["same_pixels"]:.4f} %; metric after the lesson '
          f'{results["metric_after_lesson"]}\n')
    for name, ratio in results['ratios'].items():
        print(f'{name:<28} {ratio:.2f}')
    if results['disturbed']:
        print('\nDISTURBED, not to be believed; run it again while the machine does nothing else:')
        for reason in results['disturbed']:
            print(f'  {reason}')


if __name__ == '__main__':
    main()
