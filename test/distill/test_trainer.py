# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1: when it stops, what it trains and which weights it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import math
import os
import subprocess
import sys

import numpy as np
from numpy.typing import NDArray
import pytest
import torch
from torch import Tensor

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Lesson, Trainer
from shadowtutor_ros.frame import BadFrame
from shadowtutor_ros.model.groups import FULL, GROUPS, PARTIAL
from shadowtutor_ros.model.network import StudentNet
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.tasks.protocol import BadLabelling
from shadowtutor_ros.tasks.segmentation.loss import distillation_loss, pixel_weights
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.protocol import Labelling

INFO = StudentInfo(('cat', 'dog', 'background'))
SIZE = (32, 48)
ALL_PARTS = tuple(name for name, _ in StudentNet(3).named_children())

Image = NDArray[np.uint8]
Weights = dict[str, Tensor]


def _frame(seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def _label() -> Image:
    label = np.full(SIZE, 2, np.uint8)
    label[4:20, 6:30] = 0
    label[22:30, 20:44] = 1
    return label


def _labelling() -> Labelling:
    return Labelling(_label())


def _settings(**changes: object) -> DistillSettings:
    """Return settings whose threshold a few steps cannot reach."""
    fields = {'threshold': 0.999, 'max_updates': 3, 'cold_start_updates': 3, **changes}
    return DistillSettings.plain(**fields)  # type: ignore[arg-type]


def _copy(student: Student) -> Weights:
    return {name: t.clone() for name, t in student.weights(FULL).items()}


def _changed(before: Weights, after: Weights) -> set[str]:
    """Return the network's parts in which a bit differs."""
    return {name.split('.')[0] for name in before if not torch.equal(before[name], after[name])}


class Recorder:
    """Remembers every step with the weights it made; raises after ``stop_at`` if given."""

    def __init__(self, student: Student, stop_at: int | None = None) -> None:
        self.student = student
        self.stop_at = stop_at
        self.metrics: list[float] = []
        self.losses: list[float] = []
        self.weights: list[Weights] = []

    def __call__(self, step: int, metric: float, loss: float) -> None:
        assert step == len(self.metrics)
        self.metrics.append(metric)
        self.losses.append(loss)
        self.weights.append(_copy(self.student))
        if step == self.stop_at:
            raise InterruptedError(step)

    @property
    def best(self) -> int:
        return self.metrics.index(max(self.metrics))


@pytest.fixture
def student() -> Student:
    return Student.random(INFO, 0)


@pytest.mark.parametrize('group', GROUPS)
def test_a_good_student_is_left_alone(student: Student, group: str) -> None:
    before, label = _copy(student), student.segment(_frame())
    trainer = Trainer(student, _settings(group=group, cold_start_group=group))
    recorder = Recorder(student)
    lesson = trainer.train(_frame(), Labelling(label), recorder)
    assert lesson == Lesson(group, 1.0, 1.0, 0)
    assert not _changed(before, _copy(student))
    assert recorder.metrics == [1.0]


@pytest.mark.parametrize('limit', [0, 1, 5])
def test_never_more_than_max_updates_steps(student: Student, limit: int) -> None:
    recorder = Recorder(student)
    trainer = Trainer(student, _settings(cold_start_updates=limit))
    lesson = trainer.train(_frame(), _labelling(), recorder)
    assert lesson.steps == limit
    assert len(recorder.metrics) == limit + 1
    assert lesson.initial_metric == recorder.metrics[0]


def test_stops_at_the_step_that_reaches_the_threshold(student: Student) -> None:
    recorder = Recorder(student.clone())
    Trainer(recorder.student, _settings(cold_start_updates=12)).train(
        _frame(), _labelling(), recorder)
    goal = next(n for n, metric in enumerate(recorder.metrics)
                if n > 1 and metric > max(recorder.metrics[:n]))
    trainer = Trainer(
        student, _settings(cold_start_updates=12, threshold=recorder.metrics[goal]))
    lesson = trainer.train(_frame(), _labelling())
    assert lesson.steps == goal
    assert lesson.metric == recorder.metrics[goal]
    assert not trainer.cold


class SpoilsItself(Recorder):
    """Spoils the student after these steps: what every later look sees is one class only."""

    def __init__(self, student: Student, after: int) -> None:
        super().__init__(student)
        self.after = after

    def __call__(self, step: int, metric: float, loss: float) -> None:
        super().__call__(step, metric, loss)
        if step == self.after:
            self.student.weights(FULL)['out_conv3.bias'][1] = 1e6


@pytest.mark.parametrize('group', GROUPS)
def test_best_weights_are_restored_bit_for_bit(student: Student, group: str) -> None:
    recorder = SpoilsItself(student, 5)
    trainer = Trainer(student, _settings(cold_start_group=group, cold_start_updates=10))
    lesson = trainer.train(_frame(), _labelling(), recorder)
    best = recorder.best
    assert 0 < best <= 5, 'the last step must not be the best, or there is nothing to restore'
    assert lesson.steps == 10
    assert lesson.metric == recorder.metrics[best]
    assert not _changed(recorder.weights[best], _copy(student))
    assert _changed(recorder.weights[-1], _copy(student))
    left = mean_iou_of_masks(student.segment(_frame()), _label(), 3)
    assert left == pytest.approx(lesson.metric, abs=0.005)


@pytest.mark.parametrize('stop_at', [0, 1, 7])
def test_what_on_step_raises_leaves_the_best_weights(student: Student, stop_at: int) -> None:
    recorder = Recorder(student, stop_at)
    trainer = Trainer(student, _settings(cold_start_updates=10, learning_rate=0.1))
    with pytest.raises(InterruptedError):
        trainer.train(_frame(), _labelling(), recorder)
    assert len(recorder.metrics) == stop_at + 1
    assert not _changed(recorder.weights[recorder.best], _copy(student))
    lesson = trainer.train(_frame(), _labelling())
    assert lesson.initial_metric == pytest.approx(max(recorder.metrics))
    assert lesson.steps == 10


@pytest.mark.parametrize(('group', 'parts'), [
    (PARTIAL, StudentNet.BACK), (FULL, ALL_PARTS)])
def test_only_the_group_is_trained(
    student: Student, group: str, parts: tuple[str, ...],
) -> None:
    recorder = Recorder(student)
    Trainer(student, _settings(cold_start_group=group)).train(
        _frame(), _labelling(), recorder)
    assert _changed(recorder.weights[0], recorder.weights[-1]) == set(parts)


def test_first_loss_is_the_weighted_one_of_the_untrained_student(student: Student) -> None:
    boxes = np.array([[6, 4, 30, 20], [20, 22, 44, 30]], np.float32)
    with torch.no_grad():
        expected = float(distillation_loss(
            student.network(student.prepare(_frame())), torch.from_numpy(_label())[None].long(),
            pixel_weights(SIZE, boxes, 5.0, 0.075)))
    recorder = Recorder(student)
    Trainer(student, _settings()).train(_frame(), Labelling(_label(), boxes), recorder)
    assert math.isnan(recorder.losses[0])
    assert recorder.losses[1] == pytest.approx(expected, rel=1e-4)
    assert all(math.isfinite(loss) for loss in recorder.losses[1:])


def _second_lesson(student: Student, fresh: bool) -> Recorder:
    settings = _settings(cold_start_updates=2)
    trainer = Trainer(student, settings)
    trainer.train(_frame(), _labelling())
    recorder = Recorder(student)
    (Trainer(student, settings) if fresh else trainer).train(
        _frame(1), _labelling(), recorder)
    return recorder


def test_adams_moments_survive_from_key_frame_to_key_frame(student: Student) -> None:
    kept, fresh = _second_lesson(student.clone(), False), _second_lesson(student.clone(), True)
    assert not _changed(kept.weights[0], fresh.weights[0])
    assert kept.losses[1] == fresh.losses[1]

    def longest_step(recorder: Recorder) -> float:
        name = 'sb5.long.0.weight'
        return float((recorder.weights[1][name] - recorder.weights[0][name]).abs().max())

    # A new Adam's first step is the learning rate in every weight that has a gradient.
    assert longest_step(fresh) == pytest.approx(0.005, rel=1e-3)
    assert longest_step(kept) != pytest.approx(0.005, rel=1e-3)


@pytest.mark.parametrize('group', GROUPS)
def test_loss_that_is_not_finite_ends_the_lesson_but_not_the_student(
    student: Student, group: str,
) -> None:
    trainer = Trainer(student, _settings(cold_start_group=group))
    trainer.train(_frame(), _labelling())
    good = _copy(student)
    student.load({'out_conv3.bias': torch.tensor([0.0, float('nan'), 0.0])})
    bad = _copy(student)
    lesson = trainer.train(_frame(), _labelling())
    assert lesson.steps == 0
    assert lesson.metric == lesson.initial_metric
    assert all(torch.equal(t.nan_to_num(), bad[name].nan_to_num())
               for name, t in student.weights(FULL).items())
    student.load(good)
    recorder = Recorder(student)
    assert trainer.train(_frame(), _labelling(), recorder).steps == 3
    assert all(torch.isfinite(t).all() for step in recorder.weights for t in step.values())


def test_cold_start_has_its_own_group_and_limit_until_the_threshold(student: Student) -> None:
    trainer = Trainer(student, _settings(
        cold_start_group=FULL, cold_start_updates=4, group=PARTIAL, max_updates=2))
    for _ in range(2):  # cold for as long as the threshold is not reached
        lesson = trainer.train(_frame(), _labelling())
        assert (lesson.group, lesson.steps) == (FULL, 4)
        assert trainer.cold
        assert trainer.group == FULL
    lesson = trainer.train(_frame(), Labelling(student.segment(_frame())))
    assert (lesson.group, lesson.steps) == (FULL, 0)
    assert not trainer.cold
    recorder = Recorder(student)
    for _ in range(2):  # and never cold again
        assert trainer.group == PARTIAL
        lesson = trainer.train(_frame(1), _labelling(), Recorder(student))
        assert (lesson.group, lesson.steps) == (PARTIAL, 2)
    trainer.train(_frame(2), _labelling(), recorder)
    assert _changed(recorder.weights[0], recorder.weights[-1]) == set(StudentNet.BACK)


def test_the_cold_start_ends_after_so_many_key_frames(student: Student) -> None:
    trainer = Trainer(student, _settings(
        cold_start_group=FULL, cold_start_updates=4, max_updates=2, cold_start_key_frames=2))
    groups = [trainer.train(_frame(), _labelling()).group for _ in range(4)]
    assert groups == [FULL, FULL, PARTIAL, PARTIAL]


@pytest.mark.parametrize('cut', [1, 2, 3])
def test_a_lesson_that_was_cut_short_counts_in_the_cold_start(student: Student, cut: int) -> None:
    trainer = Trainer(student, _settings(
        cold_start_group=FULL, cold_start_updates=2, max_updates=1, cold_start_key_frames=3))
    groups = []
    for number in range(1, 6):
        groups.append(trainer.group)
        if number == cut:
            with pytest.raises(InterruptedError):
                trainer.train(_frame(), _labelling(), Recorder(student, 1))
        else:
            trainer.train(_frame(), _labelling())
    assert groups == [FULL, FULL, FULL, PARTIAL, PARTIAL]


def test_a_lesson_that_was_good_enough_when_cut_short_ends_the_cold_start(
    student: Student,
) -> None:
    trainer = Trainer(student, _settings(cold_start_key_frames=0))
    with pytest.raises(InterruptedError):
        trainer.train(_frame(), Labelling(student.segment(_frame())), Recorder(student, 0))
    assert not trainer.cold


def test_a_key_frame_that_cannot_be_taught_is_no_lesson(student: Student) -> None:
    trainer = Trainer(student, _settings(cold_start_key_frames=1))
    with pytest.raises(BadLabelling):
        trainer.train(_frame(), Labelling(np.zeros((2, 2), np.uint8)))
    with pytest.raises(BadFrame):
        trainer.train(_frame()[..., 0], _labelling())
    assert trainer.cold
    trainer.train(_frame(), _labelling())
    assert not trainer.cold


def test_full_distillation_leaves_the_heap_alone() -> None:
    """In a process of its own: torch 2.13 was seen to abort, in another memory layout."""
    script = """
import numpy as np
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.teacher.protocol import Labelling
student = Student.random(StudentInfo(('cat', 'background')), 0)
for height, width in ((120, 160), (67, 91), (96, 128)):
    frame = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    trainer = Trainer(student, DistillSettings.plain(threshold=0.999, cold_start_updates=4))
    assert trainer.group == 'full'
    trainer_is_plain = lambda *_: student.network.sb3.long[0].weight.is_contiguous()
    seen = []
    steps = trainer.train(frame, Labelling(frame[..., 0] // 128),
                          lambda *_: seen.append(trainer_is_plain())).steps
    assert steps == 4
    assert all(seen)  # NCHW: the layout in which it was not seen
"""
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          check=False, env={
                              **os.environ, 'MALLOC_CHECK_': '3',
                              'LD_PRELOAD': 'libc_malloc_debug.so.0'})
    assert done.returncode == 0, done.stderr


def test_frames_may_change_their_size(student: Student) -> None:
    trainer = Trainer(student, _settings(cold_start_updates=1))
    for height, width in (SIZE, (33, 7), (1, 1)):
        frame = np.full((height, width, 3), 90, np.uint8)
        lesson = trainer.train(frame, Labelling(np.ones((height, width), np.uint8)))
        assert 0 <= lesson.initial_metric <= lesson.metric <= 1


@pytest.mark.parametrize('shape', [(48, 32), (32, 47), (32,), (32, 48, 1)], ids=str)
def test_label_of_another_size_is_refused(student: Student, shape: tuple[int, ...]) -> None:
    before = _copy(student)
    with pytest.raises(BadLabelling, match='label has size'):
        Trainer(student, _settings()).train(_frame(), Labelling(np.zeros(shape, np.uint8)))
    assert not _changed(before, _copy(student))


@pytest.mark.parametrize('class_id', [3, 254])
def test_class_id_beyond_the_students_is_refused(student: Student, class_id: int) -> None:
    before, label = _copy(student), _label()
    label[-1, -1] = class_id
    with pytest.raises(BadLabelling, match=f'label has class id {class_id}'):
        Trainer(student, _settings()).train(_frame(), Labelling(label))
    assert not _changed(before, _copy(student))


def test_frame_that_is_no_bgr_image_is_refused(student: Student) -> None:
    with pytest.raises(BadFrame):
        Trainer(student, _settings()).train(_frame()[..., 0], _labelling())


def test_on_a_gpu_trainers_work_apart_and_are_done_when_they_say_so(
    student: Student, monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer, notes = Trainer(student, _settings()), []

    class Queue:
        def synchronize(self) -> None:
            notes.append('done')

    @contextmanager
    def into(queue: object) -> Iterator[None]:
        notes.append(queue)
        yield
        notes.append('out')

    with trainer.apart():
        pass
    assert not notes  # a CPU has no queues
    trainer._queue = queue = Queue()  # type: ignore[assignment]
    monkeypatch.setattr(torch.cuda, 'stream', into)
    with suppress(InterruptedError), trainer.apart():
        notes.append('work')
        raise InterruptedError
    assert notes == [queue, 'work', 'done']


def test_a_rehearsal_leaves_the_gradients_scale_and_nothing_else() -> None:
    student = Student.random(INFO, 0)
    trainer = Trainer(student, _settings(threshold=0.1, min_updates=3, practice='augmented'))
    before, state = _copy(student), trainer.state
    assert not state.has_moments
    trainer.rehearse(_frame(), _labelling(), 3)
    assert _changed(before, _copy(student)) == set()
    assert (state.lessons, state.was_good_enough) == (0, False)
    assert state.has_moments
    assert state.back.square.abs().sum() > 0
    assert not state.back.mean.any()

    with pytest.raises(BadLabelling):
        trainer.rehearse(_frame(), Labelling(_label()[1:]), 3)
    assert _changed(before, _copy(student)) == set()
    assert state.lessons == 0
