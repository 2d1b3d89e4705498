# SPDX-License-Identifier: Apache-2.0
"""
The parts of benchmark/gpu.py.

Times in milliseconds, medians, from and to host memory:

- ``frame``: a frame through the student; ``same_pixels`` as the reference's mask; ``host_waits``
  as torch.cuda.set_sync_debug_mode counts them.
- ``partial_step``, ``full_step``: a distillation step, as the difference of lessons of 16 and of 8
  steps divided by 8, so that it is the same for who waits for each step and who looks late.
- ``key_frame``: with 0, 8 and 16 steps through the whole tutor, by part; ``recipe``: with 16 as
  the defaults have them, every second one practice, in all layers.
- ``profile``: one key frame of 8 steps: what torch.profiler sees of launches, copies and waits,
  and the host waits of the lesson alone.
- ``teacher``: one frame, and batches, per frame.
- ``memory``: MiB of the device per stream, once each of them has had a lesson.
- ``fleet``: rows as in benchmark/fleet.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
import statistics
import time
from typing import Any
import warnings

import fleet
from fleet_rows import Row, table
from paired import paired_seconds, speed_up
from reference import Reference
import torch

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.engine import pick_precision
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.tasks.segmentation.loss import pixel_weights
from shadowtutor_ros.teacher.protocol import Labelling, StampedFrame
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

OUT_OF_REACH = 0.9999  # a threshold that no step reaches
SHORT, LONG = 8, 16  # steps of the lessons whose difference is measured
NO_STEPS = 1e-6  # a threshold that every student has reached

Part = Callable[['Stage'], dict[str, Any]]


@dataclass(frozen=True)
class Scale:
    """How large everything is: sizes (W, H), rounds, robots and seconds of the fleet."""

    size: tuple[int, int]
    rounds: int
    lessons: int
    batches: tuple[int, ...]
    streams: int
    robots: tuple[int, ...]
    seconds: float


@dataclass(frozen=True)
class Stage:
    """A labelled frame, the teacher that labelled it and a student that was taught it."""

    device: torch.device
    scale: Scale
    cast: fleet.Cast
    frame: Frame
    labelling: Labelling

    @property
    def student(self) -> Student:
        """A fresh copy of the student."""
        return self.cast.first.clone()

    @property
    def reference(self) -> Reference:
        """The plain implementation with the student's weights."""
        info, weights = self.cast.first.info, self.cast.first.weights(FULL)
        return Reference({name: tensor.cpu() for name, tensor in weights.items()},
                         info.mean, info.std, device=self.device)

    def synchronized(self, work: Callable[[], object]) -> Callable[[], None]:
        """Return ``work`` that ends when the device has done it."""
        def done() -> None:
            work()
            if self.device.type == 'cuda':
                torch.cuda.synchronize(self.device)
        return done


@contextmanager
def counted_waits(device: torch.device) -> Iterator[list[str]]:
    """Collect what made the host wait for the device, by torch's own check; none on a CPU."""
    waits: list[str] = []
    if device.type != 'cuda':
        yield waits
        return
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode('default')
            waits += [str(warning.message) for warning in seen
                      if 'synchroniz' in str(warning.message)]


def frames(stage: Stage) -> dict[str, Any]:
    """Measure a frame in every precision beside the reference."""
    names = ('fp32', 'fp16', 'bf16') if stage.device.type == 'cuda' else ('fp32',)
    reference, found = stage.reference, {}
    students: dict[str, Student] = {}
    for name in names:
        students[name] = stage.student
        students[name].precision = pick_precision(name, stage.device)
    expected = reference.segment(stage.frame)
    for name, student in students.items():
        student.segment(stage.frame)
        with counted_waits(stage.device) as waits:
            mask = student.segment(stage.frame)
        found[name] = {'same_pixels': float((mask == expected).mean()),
                       'host_waits': len(waits)}
    works: dict[str, Callable[[], object]] = {
        'reference': lambda: reference.segment(stage.frame),
        **{name: (lambda s=student: s.segment(stage.frame))  # type: ignore[misc]
           for name, student in students.items()}}
    times = paired_seconds(works, stage.scale.rounds)
    return {'reference': {'ms': _ms(times['reference'])},
            **{name: {'ms': _ms(times[name]), 'speed_up': speed_up(
                times['reference'], times[name]), **found[name]} for name in names}}


def steps(stage: Stage, group: str) -> dict[str, Any]:
    """Measure a step of ``group`` beside the reference's."""
    trainer = Trainer(stage.student, _lesson(group, LONG))
    reference = stage.reference
    settings = DistillSettings.plain()
    label = stage.labelling.class_ids
    weights = pixel_weights(
        label.shape, stage.labelling.boxes, settings.object_weight, settings.box_margin)

    def ours(count: int) -> None:
        trainer.settings = _lesson(group, count)
        trainer.train(stage.frame, stage.labelling)

    def plain(count: int) -> None:
        reference.distill(stage.frame, label, weights, OUT_OF_REACH, count,
                          full=group == FULL)

    times = paired_seconds(
        {f'{name} {count}': stage.synchronized(lambda w=work, c=count: w(c))
         for name, work in (('reference', plain), ('product', ours))
         for count in (SHORT, LONG)}, stage.scale.lessons)
    step = {name: [(long - short) / (LONG - SHORT) for short, long in zip(
        times[f'{name} {SHORT}'], times[f'{name} {LONG}'])] for name in ('reference', 'product')}
    medians = {name: _ms(of) for name, of in step.items()}
    return {**{f'{name}_ms': ms for name, ms in medians.items()},
            'speed_up': medians['reference'] / medians['product'],
            f'product_lesson_of_{LONG}_ms': _ms(times[f'product {LONG}'])}


def key_frames(stage: Stage) -> dict[str, Any]:
    """Measure whole key frames at the tutor."""
    found = {}
    lessons = {f'{count} steps': _lesson(PARTIAL, count) for count in (0, SHORT, LONG)}
    lessons['recipe'] = replace(
        DistillSettings(), threshold=OUT_OF_REACH, max_updates=LONG, cold_start_updates=LONG)
    for name, settings in lessons.items():
        tutor = Tutor(stage.cast.teacher, stage.cast.first, TutorSettings(settings))
        robot = _Robot(tutor, stage.frame)
        robot.send()  # records what is recorded
        robot.send()
        times, updates = [], []
        for _ in range(stage.scale.lessons):
            started = time.perf_counter()
            updates.append(robot.send())
            times.append(time.perf_counter() - started)
        rest = [whole - update.teacher_time - update.training_time
                for whole, update in zip(times, updates)]
        found[name] = {
            'turnaround_ms': _ms(times), 'teacher_ms': _ms([u.teacher_time for u in updates]),
            'training_ms': _ms([u.training_time for u in updates]), 'rest_ms': _ms(rest),
            'steps': updates[-1].steps}
    return found


def profile(stage: Stage) -> dict[str, Any]:
    """Count what one key frame asks of the device."""
    tutor = Tutor(stage.cast.teacher, stage.cast.first, TutorSettings(_lesson(PARTIAL, SHORT)))
    robot = _Robot(tutor, stage.frame)
    robot.send()
    robot.send()
    with counted_waits(stage.device) as waits:
        robot.send()
    trainer = Trainer(stage.student, _lesson(PARTIAL, SHORT))
    trainer.train(stage.frame, stage.labelling)
    with counted_waits(stage.device) as of_lesson:
        trainer.train(stage.frame, stage.labelling)
    whole = calls_seen(stage.device, robot.send)
    lesson = calls_seen(stage.device, lambda: trainer.train(stage.frame, stage.labelling))
    return {'host_waits': len(waits), 'host_waits_of_the_lesson': len(of_lesson),
            'waits': dict(Counter(waits)), **whole,
            'kernels_of_the_lesson': lesson['kernels'] + lesson['device_copies']}


def calls_seen(device: torch.device, work: Callable[[], object]) -> dict[str, int]:
    """Do ``work`` and count what torch.profiler sees of it."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == 'cuda':
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        work()
    return calls_of((event.name, event.device_type != torch.autograd.DeviceType.CPU)
                    for event in profiler.events())


def calls_of(events: Iterable[tuple[str, bool]]) -> dict[str, int]:
    """Count profiler events, each a name and whether it ran on the device."""
    found = dict.fromkeys(('kernels', 'device_copies', 'launches', 'graph_launches', 'copies',
                           'synchronizations'), 0)
    for name, on_device in events:
        if on_device:
            found['device_copies' if name.startswith(('Memcpy', 'Memset')) else 'kernels'] += 1
        elif 'GraphLaunch' in name:
            found['graph_launches'] += 1
        elif 'LaunchKernel' in name:
            found['launches'] += 1
        elif name.startswith('cudaMemcpy'):
            found['copies'] += 1
        elif name.startswith('cuda') and 'Synchronize' in name:
            found['synchronizations'] += 1
    return found


def teachers(stage: Stage) -> dict[str, Any]:
    """Measure the teacher alone."""
    teacher, frame, rounds = stage.cast.teacher, stage.frame, max(3, stage.scale.rounds // 4)
    one = paired_seconds({'1': stage.synchronized(lambda: teacher.label(frame))}, rounds)['1']
    found: dict[str, Any] = {'1 frame': {'ms_per_frame': _ms(one)}}
    label_many = getattr(teacher, 'label_many', None)
    if label_many is None:
        return {**found, 'batches': None}
    for count in stage.scale.batches:
        together = [StampedFrame(frame, 0.0)] * count
        seconds = paired_seconds(
            {'many': stage.synchronized(lambda t=together: label_many(t))}, rounds)['many']
        found[f'{count} frames'] = {'ms_per_frame': _ms(seconds) / count}
    return found


def memory(stage: Stage) -> dict[str, Any]:
    """Measure what a stream costs on the device."""
    count = stage.scale.streams
    tutor = Tutor(stage.cast.teacher, stage.cast.first, TutorSettings(
        _lesson(PARTIAL, SHORT), max_streams=count + 1))
    _Robot(tutor, stage.frame, 'first').send()  # what is there once for all
    before = _allocated(stage.device)
    for number in range(count):
        _Robot(tutor, stage.frame, f'stream {number}').send()
    after = _allocated(stage.device)
    if before is None or after is None:
        return {'mib_per_stream': None}
    return {'mib_per_stream': (after - before) / count / 2**20, 'streams': count,
            'mib_with_one_stream': before / 2**20}


def fleets(stage: Stage) -> dict[str, Any]:
    """Measure a few fleets, one round each."""
    rows: dict[str, list[Row]] = {fleet.PRODUCT: [], fleet.LOCK_STEP: []}
    for count in stage.scale.robots:
        for name, row in fleet.compare(stage.cast, count, 1, lambda *_: None).items():
            rows[name].append(row)
    print(table(rows))
    return {'rows': [asdict(row) for row in rows[fleet.PRODUCT]],
            'baseline': [asdict(row) for row in rows[fleet.LOCK_STEP]]}


# What a part may take at most, in seconds of a GPU machine: it is not begun with less left.
PARTS: Mapping[str, tuple[float, Part]] = {
    'frame': (10, frames),
    'partial_step': (10, lambda stage: steps(stage, PARTIAL)),
    'full_step': (10, lambda stage: steps(stage, FULL)),
    'key_frame': (20, key_frames),
    'profile': (15, profile),
    'teacher': (10, teachers),
    'memory': (10, memory),
    'fleet': (75, fleets),
}


class _Robot:
    """Sends one frame again and again and says truly what it runs."""

    def __init__(self, tutor: Tutor, frame: Frame, stream_id: str = 'bench') -> None:
        first = tutor.first_student(stream_id)
        self._tutor, self._encoded = tutor, encode_frame(frame, 'jpeg', 85)
        self._stream_id, self._session, self._version = stream_id, first.session_id, first.version

    def send(self) -> StudentUpdate:
        update = self._tutor.distill(KeyFrame(
            self._stream_id, self._version + 1, self._session, self._version, 0, '',
            self._encoded))
        self._version = update.version
        return update


def _lesson(group: str, count: int) -> DistillSettings:
    """Return settings for lessons of exactly ``count`` steps of ``group``."""
    return replace(
        DistillSettings.plain(), threshold=OUT_OF_REACH if count else NO_STEPS, group=group,
        cold_start_group=group, max_updates=count, cold_start_updates=count)


def _allocated(device: torch.device) -> int | None:
    if device.type != 'cuda':
        return None
    torch.cuda.synchronize(device)
    return torch.cuda.memory_allocated(device)


def _ms(seconds: Sequence[float]) -> float:
    return 1e3 * statistics.median(seconds)
