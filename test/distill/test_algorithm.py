# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1 by a plain loop, as it is, and recorded: the same steps, the same weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
import math
from typing import Generic, TypeVar

from distill.lessons import copy_of, FineStudent, frame_of, INFO, labelling_of, PlainTrainer, SIZE
import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.algorithm import Algorithm1, Variables
from shadowtutor_ros.distill.memory import Example
from shadowtutor_ros.distill.recording import RecordedAlgorithm1, Recordings
from shadowtutor_ros.distill.settings import AUGMENTED, DistillSettings, PLAIN
from shadowtutor_ros.distill.state import TrainingState
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.groups import FULL, GROUPS, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import BOXES
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.tasks.table import DETECTION
from shadowtutor_ros.teacher.protocol import Labelling

T = TypeVar('T')
BOX_INFO = replace(INFO, task=DETECTION, architecture=BOXES)


@dataclass(frozen=True)
class Replay(Generic[T]):
    """Work that runs as it is when it is replayed."""

    work: Callable[[], T]

    def replay(self) -> T:
        return self.work()


class RunsAgain:
    """Takes work as a GPU's recorder does: three trials and the recording."""

    def record(self, work: Callable[[], T]) -> Replay[T]:
        for _ in range(4):
            work()
        return Replay(work)


class RecordsNothing:
    def record(self, work: Callable[[], T]) -> None:
        work()


def settings(**changes: object) -> DistillSettings:
    return DistillSettings.plain(threshold=0.999, cold_start_key_frames=1, **changes)  # type: ignore[arg-type]


def recorded(trainer: Trainer, recorder: object = None) -> Trainer:
    """Let the trainer teach by what a GPU would replay, two steps ahead of the host."""
    trainer._recordings = Recordings(
        trainer.student, trainer.state, recorder or RunsAgain())  # type: ignore[arg-type]
    trainer._late = 2
    return trainer


@pytest.fixture
def _double() -> Iterator[None]:
    """
    Let new networks compute in double precision.

    Adam makes of a gradient that is nothing but rounding a step as long as any other, unless it is
    smaller than Adam's epsilon. So in single precision each kind of CPU teaches another student.
    """
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def assert_equal(student: Student, other: Student) -> None:
    """Compare weights to a hundredth of one step of Adam."""
    theirs = other.weights(FULL)
    for name, tensor in student.weights(FULL).items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=5e-5, msg=name)


@pytest.mark.usefixtures('_double')
@pytest.mark.parametrize('as_on_a_gpu', [False, True])
def test_lessons_are_those_of_a_plain_loop(as_on_a_gpu: bool) -> None:
    """A full and two partial lessons, Adam's moments going on between them."""
    given = settings(cold_start_updates=3, max_updates=4)
    student = FineStudent.random(INFO, 0)
    plain = PlainTrainer(FineStudent.random(INFO, 0), given)
    trainer = Trainer(student, given)
    if as_on_a_gpu:
        recorded(trainer)
    for seed, (group, limit) in enumerate([(FULL, 3), (PARTIAL, 4), (PARTIAL, 4)]):
        metrics: list[float] = []
        lesson = trainer.train(frame_of(seed), labelling_of(seed),
                               lambda step, metric, loss: metrics.append(metric))  # noqa: B023
        expected = plain.train(frame_of(seed), labelling_of(seed), group, limit)
        assert metrics == pytest.approx(expected, abs=1e-6)
        assert (lesson.group, lesson.steps) == (group, limit)
        assert lesson.metric == pytest.approx(max(expected), abs=1e-6)
        assert_equal(student, plain.student)


@pytest.mark.parametrize(('group', 'layout'), [
    (PARTIAL, torch.channels_last), (FULL, torch.contiguous_format)])
def test_lessons_round_as_the_plain_loop_does(group: str, layout: torch.memory_format) -> None:
    """Bit for bit: rounding amplified is another student, and figures would not stay the same."""
    given = settings(cold_start_updates=6, cold_start_group=group, max_updates=6, group=group)
    trainer = Trainer(Student.random(INFO, 0), given)
    plain = PlainTrainer(Student.random(INFO, 0), given)
    for seed in (0, 1):
        trainer.train(frame_of(seed), labelling_of(seed))
        plain.train(frame_of(seed), labelling_of(seed), group, 6, layout=layout)
        theirs = plain.student.weights(FULL)
        for name, tensor in trainer.student.weights(FULL).items():
            assert torch.equal(tensor, theirs[name]), name


@pytest.mark.usefixtures('_double')
@pytest.mark.parametrize('as_on_a_gpu', [False, True])
@pytest.mark.parametrize('group', GROUPS)
def test_practice_on_the_key_frame_itself_is_a_second_step(group: str, as_on_a_gpu: bool) -> None:
    given = settings(practice=PLAIN, cold_start_updates=4, max_updates=4,
                     cold_start_group=group, group=group)
    student = FineStudent.random(INFO, 0)
    plain = PlainTrainer(FineStudent.random(INFO, 0), given)
    trainer = Trainer(student, given)
    if as_on_a_gpu:
        recorded(trainer)
    for seed in (0, 1):
        metrics: dict[int, float] = {}
        lesson = trainer.train(frame_of(seed), labelling_of(seed),
                               lambda step, metric, loss: metrics.update({step: metric}))  # noqa: B023
        expected = plain.train(frame_of(seed), labelling_of(seed), group, 4, 2)
        assert list(metrics) == [0, 2, 4]
        assert list(metrics.values()) == pytest.approx(expected, abs=1e-6)
        assert lesson.steps == 4
        assert_equal(student, plain.student)


@pytest.mark.parametrize('info', [INFO, BOX_INFO], ids=lambda info: info.task)
def test_practice_recorded_is_practice(info: StudentInfo) -> None:
    """On copies of what is remembered; the limit of steps is odd."""
    given = settings(practice=AUGMENTED, cold_start_updates=5)
    memory = [Example(frame_of(seed), labelling_of(seed)) for seed in (3, 4)]
    plain = Trainer(Student.random(info, 0), given)
    replayed = recorded(Trainer(Student.random(info, 0), given))
    alone = Trainer(Student.random(info, 0), given)
    for trainer, remembered in ((plain, memory), (replayed, memory), (alone, [])):
        lesson = trainer.train(frame_of(), labelling_of(), memory=remembered)
        assert lesson.steps == 5
    assert torch.equal(plain.state.back.weights, replayed.state.back.weights)
    assert torch.equal(plain.state.front.square, replayed.state.front.square)
    assert not torch.equal(plain.state.front.square, alone.state.front.square)


@pytest.mark.parametrize('as_on_a_gpu', [False, True])
def test_a_good_student_takes_the_least_steps(as_on_a_gpu: bool) -> None:
    student = Student.random(INFO, 0)
    label = Labelling(student.segment(frame_of()))
    for least, limit, steps in ((3, 8, 3), (9, 4, 4)):
        trainer = Trainer(student.clone(), settings(min_updates=least, cold_start_updates=limit))
        if as_on_a_gpu:
            recorded(trainer)
        assert trainer.train(frame_of(), label).steps == steps


@pytest.mark.parametrize('group', GROUPS)
def test_a_late_host_changes_nothing(group: str) -> None:
    """Steps that were begun before it was known that they were not wanted leave no trace."""
    given = settings(cold_start_updates=12, cold_start_group=group)
    metrics: list[float] = []
    Trainer(Student.random(INFO, 0), given).train(
        frame_of(), labelling_of(), lambda step, metric, loss: metrics.append(metric))
    goal = next(n for n, metric in enumerate(metrics) if n > 1 and metric > max(metrics[:n]))
    given = DistillSettings.plain(
        threshold=metrics[goal], cold_start_updates=12, cold_start_group=group)
    prompt = Trainer(Student.random(INFO, 0), given)
    late = recorded(Trainer(Student.random(INFO, 0), given))
    for seed in (0, 1):
        assert late.train(frame_of(seed), labelling_of(seed)) == prompt.train(
            frame_of(seed), labelling_of(seed))
        for mine, theirs in zip(late.state.parts(FULL), prompt.state.parts(FULL)):
            for own, other in zip(mine._all, theirs._all):
                assert torch.equal(own, other)


def test_recording_changes_no_student() -> None:
    student = Student.random(INFO, 0)
    trainer = recorded(Trainer(student, settings(cold_start_updates=0)))
    before = copy_of(student)
    lesson = trainer.train(frame_of(), labelling_of())
    assert lesson.steps == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in copy_of(student).items())
    assert not any(part.mean.any() or part.steps for part in trainer.state.parts(FULL))


def test_one_recording_serves_students_of_one_size_and_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[str, torch.Size]] = []
    make = RecordedAlgorithm1.__init__

    def note(self: RecordedAlgorithm1, *arguments: object) -> None:
        make(self, *arguments)  # type: ignore[arg-type]
        made.append((self.group, self.pixels.shape))

    monkeypatch.setattr(RecordedAlgorithm1, '__init__', note)
    trainer = recorded(Trainer(Student.random(INFO, 0), settings(cold_start_updates=1,
                                                                 max_updates=1)))
    sizes = [SIZE, SIZE, (16, 24), SIZE]
    for size in sizes:
        trainer.train(frame_of(0, size), labelling_of(0, size))
    assert made == [(FULL, (*SIZE, 3)), (PARTIAL, (*SIZE, 3)), (PARTIAL, (16, 24, 3))]
    for width in range(50, 60):
        trainer.train(frame_of(0, (16, width)), labelling_of(0, (16, width)))
    assert trainer._recordings is not None
    assert len(trainer._recordings._known) == 4


def test_what_cannot_be_recorded_runs_as_it_is() -> None:
    given = settings(cold_start_updates=3)
    plain = Trainer(Student.random(INFO, 0), given)
    trainer = recorded(Trainer(Student.random(INFO, 0), given), RecordsNothing())
    for _ in range(2):
        assert trainer.train(frame_of(), labelling_of()) == plain.train(
            frame_of(), labelling_of())


def test_variables_after_looks_and_steps() -> None:
    student = Student.random(INFO, 0)
    state = TrainingState(student.network, student.device)
    state.give_to(student.network)
    target = student.task.target(labelling_of(), SIZE, 3)
    algorithm = Algorithm1(student, state, PARTIAL, student.pixels(frame_of()), target)
    algorithm.begin(threshold=0.9, least=0, limit=1, rate=0.01)
    algorithm.read()
    algorithm.look()
    first = algorithm.report()()
    assert math.isnan(first.loss)
    assert first == Variables(first.metric, first.metric, first.loss, 0, 1, 0, 0.9, 0, 1, 0.01)
    algorithm.step()
    algorithm.look()
    second = algorithm.report()()
    assert (second.steps, second.live, second.broken) == (1, 0, 0)
    assert second.loss > 0
    assert second.best_metric == max(first.metric, second.metric)
    weights = state.back.weights.clone()
    algorithm.step()  # not wanted
    assert torch.equal(weights, state.back.weights)
    assert algorithm.report()()[1:] == second[1:]


@pytest.mark.parametrize('as_on_a_gpu', [False, True])
def test_other_weights_are_judged_on_the_last_key_frame(as_on_a_gpu: bool) -> None:
    """Also where the front that they bring is another than the lesson's."""
    student, other = Student.random(INFO, 0), Student.random(INFO, 5)
    trainer = Trainer(student, settings(cold_start_group=PARTIAL, cold_start_updates=2))
    if as_on_a_gpu:
        recorded(trainer)
    frame, labelling = frame_of(), labelling_of()
    trainer.train(frame, labelling)
    target = student.task.target(labelling, SIZE, 3)
    for group in (PARTIAL, FULL):
        metric = trainer.judge(other.weights(group))
        mask = student.segment(frame)
        assert metric == float(student.task.metric(torch.from_numpy(mask), target))
        np.testing.assert_array_equal(trainer.answer(), mask)
    assert all(torch.equal(tensor, other.weights(FULL)[name])
               for name, tensor in student.weights(FULL).items())
    trainer.close()
    with pytest.raises(RuntimeError, match='expected a lesson'):
        trainer.judge({})


def test_a_state_goes_from_one_trainer_to_another() -> None:
    """As a robot's does between the places where robots are taught."""
    given = settings(cold_start_updates=2, max_updates=2)
    alone = Trainer(Student.random(INFO, 0), given)
    first, second = (Trainer(Student.random(INFO, seed), given) for seed in (0, 1))
    for seed, trainer in enumerate((first, second, first)):
        if trainer is second:
            second.state.copy_(first.state)
        elif seed:
            first.state.copy_(second.state)
        assert trainer.train(frame_of(seed), labelling_of(seed)) == alone.train(
            frame_of(seed), labelling_of(seed))
    assert all(torch.equal(tensor, alone.student.weights(FULL)[name])
               for name, tensor in first.student.weights(FULL).items())


@pytest.mark.parametrize(('most', 'steps'), [(None, 4), (9, 4), (2, 2), (0, 0)])
def test_fewer_steps_than_the_settings_allow(most: int | None, steps: int) -> None:
    trainer = Trainer(Student.random(INFO, 0), settings(cold_start_updates=4))
    assert trainer.train(frame_of(), labelling_of(), most=most).steps == steps


@pytest.mark.parametrize('replayed', [False, True])
@pytest.mark.parametrize('group', GROUPS)
def test_students_are_compared_before_a_lesson_and_leave_no_trace(
    replayed: bool, group: str,
) -> None:
    given = settings(cold_start_updates=2, cold_start_group=group)
    trainer, alone = (Trainer(Student.random(INFO, 0), given) for _ in range(2))
    if replayed:
        recorded(trainer)
    before = TrainingState(trainer.student.network, trainer.student.device)
    before.copy_(trainer.state)
    students = [Student.random(INFO, seed) for seed in range(3)]
    metrics = trainer.compare(
        frame_of(), labelling_of(), [student.weights(FULL) for student in students])
    label, number = labelling_of().class_ids, len(INFO.class_names)
    assert metrics == [mean_iou_of_masks(student.segment(frame_of()), label, number)
                       for student in students]
    assert len(set(metrics)) == 3
    trainer.state.copy_(before)
    assert trainer.train(frame_of(), labelling_of()) == alone.train(frame_of(), labelling_of())
    assert all(torch.equal(tensor, alone.student.weights(FULL)[name])
               for name, tensor in trainer.student.weights(FULL).items())
