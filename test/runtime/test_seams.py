# SPDX-License-Identifier: Apache-2.0
"""Another architecture and another task go the whole way: tutor, wire, robot, evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scene import Scene
from small_net import SmallNet
import torch
from torch import Tensor
import torch.nn.functional as F

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.evaluation.record import FrameRecord
from shadowtutor_ros.evaluation.run import judge
from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import ARCHITECTURES, UnknownArchitecture
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.tasks.protocol import Emphasis, EVEN
from shadowtutor_ros.tasks.table import TASKS
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.encoder import WeightSettings

SMALL = {'architecture': 'small', 'configuration': {'width': 8}}


@dataclass(frozen=True)
class Classes:
    """Which classes a frame has somewhere, as a 1xC map of truth."""

    there: Tensor


class Presence:
    """Whether a class is in the frame: an answer that is no map, from the logits of one."""

    def target(
        self, labelling: Labelling, size: tuple[int, int], classes: int,
        device: str | torch.device = 'cpu', emphasis: Emphasis = EVEN,
    ) -> Classes:
        there = torch.bincount(torch.from_numpy(labelling.class_ids).flatten(), minlength=classes)
        return Classes((there > 0)[None].to(device))

    def refill(self, target: Classes, other: Classes) -> None:
        target.there.copy_(other.there)

    def loss(self, output: Tensor, target: Classes) -> Tensor:
        return F.binary_cross_entropy_with_logits(output.amax((2, 3)), target.there.float())

    def answer(self, output: Tensor, size: tuple[int, int]) -> Tensor:
        return (output.amax((2, 3)) > 0).to(torch.uint8)

    def class_scores(self, answer: Tensor, target: Classes) -> Tensor:
        return (answer.bool() == target.there)[0].double()

    def metric(self, answer: Tensor, target: Classes) -> Tensor:
        return self.class_scores(answer, target).mean()


@pytest.fixture(autouse=True)
def _rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, 'small', SmallNet)
    monkeypatch.setitem(TASKS, 'presence', Presence())


def _teach(scene: Scene, classes: ClassSet, info: StudentInfo) -> tuple[StudentLoop, Student]:
    """Run a robot and its tutor over the scene; return both students."""
    tutor = Tutor(
        LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, 0),
        TutorSettings(DistillSettings.plain(
            max_updates=8, learning_rate=0.05, cold_start_key_frames=1),
                      WeightSettings('fp16')))
    first = tutor.first_student('test')
    loop = StudentLoop(
        student_from_update(first, tutor.info),
        Scheduler(ScheduleSettings(
            min_stride=2, max_stride=4, threshold=0.8, policy=PACED, update_delay=1)),
        LocalLink(tutor), 'test', session_id=first.session_id, version=first.version)
    for index, frame in enumerate(scene.frames[:16]):
        loop.segment(frame, scene.stamp(index))
        loop.settle()
        assert not loop.counters.failed, loop.counters.detail
    return loop, student_from_update(tutor.first_student('test'), info)


def _judge(
    student: Student, scene: Scene, index: int = 0,
) -> FrameRecord:
    record, labelling = FrameRecord(index, 0.0), Labelling(scene.labels[index])
    judge(record, student.segment(scene.frames[index]), labelling, (96, 128), student.info)
    return record


def test_another_architecture_is_taught_and_segments(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    small = replace(info, **SMALL)
    loop, taught = _teach(scene, classes, small)
    assert isinstance(loop.student.network, SmallNet)
    assert loop.counters.updates_applied > 3
    assert loop.student.weights(PARTIAL).keys() == {'head.weight', 'head.bias'}
    np.testing.assert_array_equal(
        loop.student.segment(scene.frames[0]), taught.segment(scene.frames[0]))
    untaught = _judge(Student.random(small, 0), scene)
    assert _judge(loop.student, scene).miou > untaught.miou + 0.1


def test_another_task_is_taught_and_answers(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    presence = replace(info, task='presence')
    loop, taught = _teach(scene, classes, presence)
    assert loop.counters.updates_applied > 3
    answer = loop.student.segment(scene.frames[0])
    assert answer.shape == (1, len(classes))
    np.testing.assert_array_equal(answer, taught.segment(scene.frames[0]))
    record = _judge(loop.student, scene)
    assert record.miou == pytest.approx(sum(record.iou) / len(classes))
    assert record.miou > 0.8


@pytest.mark.parametrize('change', [
    {'task': 'presence'}, SMALL, {'mean': (0.0, 0.0, 0.0)}], ids=str)
def test_a_tutor_of_another_student_is_found_out(
    scene: Scene, classes: ClassSet, info: StudentInfo, change: dict[str, object],
) -> None:
    loop, _ = _teach(scene, classes, info)
    other = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps),
                  Student.random(replace(info, **change), 0),  # type: ignore[arg-type]
                  TutorSettings(DistillSettings.plain(max_updates=1, cold_start_updates=1)))
    loop._link = LocalLink(other)
    applied = loop.counters.updates_applied
    for _ in range(8):
        loop.segment(scene.frames[0])
        loop.settle()
    assert loop.counters.updates_applied == applied
    assert loop.counters.updates_rejected
    assert loop.counters.detail.startswith('LayoutMismatch: the tutor teaches another student')


def test_a_robot_without_the_row_names_it(
    scene: Scene, classes: ClassSet, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    tutor = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps),
                  Student.random(replace(info, **SMALL), 0), TutorSettings())
    first = tutor.first_student('test')
    monkeypatch.delitem(ARCHITECTURES, 'small')
    with pytest.raises(
            UnknownArchitecture,
            match="expected one of shadowtutor, shadowtutor-boxes, got 'small'"):
        student_from_update(first, tutor.info)
