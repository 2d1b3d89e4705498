# SPDX-License-Identifier: Apache-2.0
"""A tutor that has never seen a robot goes on from the weights that the robot hands up."""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path

import numpy as np
import pytest
from runtime.key_frames import DISTILL, key_frame
from runtime.loops import assert_same_weights, SCHEDULE, weights_of
from scene import Scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.link import LocalLink, Reply
from shadowtutor_ros.runtime.session import Running
from shadowtutor_ros.runtime.stream import _REHEARSED, FirstStudent, Stream
from shadowtutor_ros.runtime.student import KeyFrameSettings, student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import StudentNeeded, Tutor, TutorSettings
from shadowtutor_ros.schedule.link_policy import Exchange, LinkLimits, LinkPolicy
from shadowtutor_ros.schedule.scheduler import Scheduler
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.wire.delta import DELTA
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.errors import CorruptUpdate, NonFiniteUpdate
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate
from shadowtutor_ros.wire.whole import pack_student

SETTINGS = WeightSettings(DELTA)


class Turned:
    """A link to one tutor, then to another; keeps what went through it."""

    def __init__(self, tutor: Tutor) -> None:
        self.link = LocalLink(tutor)
        self.sent: list[KeyFrame] = []
        self.replies: list[Reply] = []

    def turn_to(self, tutor: Tutor) -> None:
        self.link = LocalLink(tutor)
        self.sent.clear()
        self.replies.clear()

    @property
    def answered_at(self) -> float:
        return self.link.answered_at

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        self.sent.append(key_frame)
        self.link.send(key_frame)

    def receive(self, wait: bool) -> Reply | None:
        reply = self.link.receive(wait)
        if reply is not None:
            self.replies.append(reply)
        return reply

    @property
    def updates(self) -> list[StudentUpdate]:
        return [reply for reply in self.replies if isinstance(reply, StudentUpdate)]


class Robot:
    """A loop over the scene's frames."""

    def __init__(self, tutor: Tutor, scene: Scene) -> None:
        self.link, self.scene, self.index = Turned(tutor), scene, 0
        first = tutor.first_student('a')
        self.loop = StudentLoop(
            student_from_update(first, tutor.info), Scheduler(SCHEDULE), self.link, 'a',
            KeyFrameSettings('png'), first.session_id, first.version)

    def run(self, updates: int) -> None:
        """Segment frames until so many updates more are applied."""
        wanted = self.loop.counters.updates_applied + updates
        while self.loop.counters.updates_applied < wanted:
            index = self.index % len(self.scene.frames)
            self.loop.segment(self.scene.frames[index], self.scene.stamp(index))
            self.loop.settle()
            self.index += 1


def make_tutor(
    scene: Scene, classes: ClassSet, info: StudentInfo, seed: int = 0,
    folder: Path | None = None, weights: str = DELTA,
) -> Tutor:
    return Tutor(
        LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, seed),
        TutorSettings(DISTILL, WeightSettings(weights), max_streams=2, lessons_at_once=1,
                      state_folder=folder))


def state_of(tutor: Tutor) -> dict[str, torch.Tensor]:
    return weights_of(tutor._streams['a']._state)  # type: ignore[arg-type]


def test_how_long_a_student_takes_says_nothing_of_the_pictures_after_it(
    scene: Scene, classes: ClassSet, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchanges: list[Exchange] = []
    robot = Robot(make_tutor(scene, classes, info), scene)
    robot.loop.policy = LinkPolicy(LinkLimits())
    monkeypatch.setattr(robot.loop.policy, 'on_answer', exchanges.append)
    robot.run(2)
    assert len(exchanges) == 2
    robot.link.turn_to(make_tutor(scene, classes, info, 9))
    robot.run(1)
    assert robot.link.sent[-1].student
    assert len(exchanges) == 2
    robot.run(1)
    assert len(exchanges) == 3


@pytest.mark.parametrize(('weights', 'encoding'), [(DELTA, DELTA), ('fp16', 'fp16')])
def test_the_next_tutor_goes_on_from_the_robots_own_student(
    scene: Scene, classes: ClassSet, info: StudentInfo, weights: str, encoding: str,
) -> None:
    robot = Robot(make_tutor(scene, classes, info, weights=weights), scene)
    robot.run(3)
    session_id, version = robot.loop.session_id, robot.loop.version
    before, frames = weights_of(robot.loop.student), robot.index
    second = make_tutor(scene, classes, info, 9, weights=weights)  # it has another first student
    robot.link.turn_to(second)
    robot.run(1)

    asked, handed = robot.link.sent
    assert (asked.student, handed.student) == (b'', pack_student(before))
    assert handed.sequence == asked.sequence + 1
    assert robot.index - frames <= SCHEDULE.max_stride + 2
    update, = robot.link.updates
    assert (update.group, update.weights.encoding) == ('partial', encoding)
    assert (update.session_id, update.base_version) == (session_id, version)
    assert update.version > version + 1000  # the first may have given some that got lost
    counters = robot.loop.counters
    assert (counters.failures, counters.updates_rejected, counters.failed) == (0, 0, False)
    assert counters.bytes_up >= len(handed.student)
    assert_same_weights(weights_of(robot.loop.student), state_of(second))

    state = second._streams['a']._state
    assert state.lessons == 1
    assert state.back.steps.item() == update.steps + _REHEARSED  # for the gradients' scale

    robot.run(2)
    assert [key_frame.student for key_frame in robot.link.sent[2:]] == [b'', b'']
    assert state.back.steps.item() == sum(
        each.steps for each in robot.link.updates) + _REHEARSED
    assert [update.weights.encoding for update in robot.link.updates[1:]] == [encoding] * 2
    assert_same_weights(weights_of(robot.loop.student), state_of(second))


def test_a_rehearsal_takes_no_longer_than_a_lesson_may(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    robot = Robot(make_tutor(scene, classes, info), scene)
    robot.run(2)
    second = make_tutor(scene, classes, info)
    second.settings = replace(second.settings, lesson_seconds=0.0)
    robot.link.turn_to(second)
    robot.run(1)
    assert not second._streams['a']._state.has_moments
    assert_same_weights(weights_of(robot.loop.student), state_of(second))


@pytest.mark.parametrize(('limit', 'ended'), [(60.0, True), (math.inf, False)])
def test_where_lessons_have_a_limit_the_first_answer_comes_soon(
    scene: Scene, classes: ClassSet, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
    limit: float, ended: bool,
) -> None:
    monkeypatch.setattr('shadowtutor_ros.runtime.stream._SOON', 0.0)
    robot = Robot(make_tutor(scene, classes, info), scene)
    robot.run(2)
    second = make_tutor(scene, classes, info)
    second.settings = replace(second.settings, lesson_seconds=limit)
    robot.link.turn_to(second)
    robot.run(2)
    steps = [update.steps for update in robot.link.updates]
    assert (steps[0] == 0) == ended
    assert steps[1] > 0


def test_a_tutor_that_a_robot_returns_to_takes_no_old_version_for_a_new_one(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutors = [make_tutor(scene, classes, info, seed) for seed in (0, 1)]
    robot = Robot(tutors[0], scene)
    for turn in range(5):
        robot.link.turn_to(tutors[turn % 2])
        robot.run(2)
        assert robot.loop.counters.updates_rejected == 0
        assert all(update.weights.encoding == DELTA for update in robot.link.updates)
        assert len(robot.link.sent) == (3 if turn else 2)
        assert_same_weights(weights_of(robot.loop.student), state_of(tutors[turn % 2]))
        for _ in range(2):  # whose answers are lost: the other one will count as far
            tutors[turn % 2].distill(replace(
                robot.link.sent[-1], student_version=robot.loop.version))


def test_what_was_handed_up_is_kept(
    scene: Scene, classes: ClassSet, info: StudentInfo, tmp_path: Path,
) -> None:
    robot = Robot(make_tutor(scene, classes, info), scene)
    robot.run(2)
    second = make_tutor(scene, classes, info, folder=tmp_path)
    robot.link.turn_to(second)
    robot.run(1)
    second.close()
    robot.link.turn_to(make_tutor(scene, classes, info, folder=tmp_path))
    robot.run(1)
    key_frame, = robot.link.sent
    assert key_frame.student == b''
    assert robot.link.updates[0].weights.encoding == DELTA


def test_a_robot_is_given_what_it_handed_up(info: StudentInfo) -> None:
    """Also when that is a first student, with the version that each tutor's own has."""
    handed = Student.random(info, 1)
    stream = Stream('a', FirstStudent(Student.random(info, 2), SETTINGS), SETTINGS)
    stream.take_over(Running(5, 0), weights_of(handed))
    update = stream.whole()
    assert (update.session_id, update.version) == (5, 0)
    assert_same_weights(weights_of(student_from_update(update, info)), weights_of(handed))


def test_nothing_is_asked_of_a_robot_that_has_nothing_to_hand_up(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    layout = tutor.first_student('a').layout_hash
    for fields in ({'session_id': 5}, {'session_id': 0, 'layout_hash': layout},
                   {'session_id': 5, 'layout_hash': layout + 1},
                   {'session_id': 5, 'layout_hash': layout, 'student_version': 2**32 - 1}):
        assert tutor.distill(key_frame(scene, **fields)).group == 'full'
    with pytest.raises(StudentNeeded, match='version 4 of session 0000000000000005'):
        tutor.distill(key_frame(scene, session_id=5, layout_hash=layout, student_version=4))


def test_a_student_that_cannot_be_one_changes_nothing(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    tutor = make_tutor(scene, classes, info)
    layout = tutor.first_student('a').layout_hash
    broken = {name: torch.full_like(tensor, np.inf)
              for name, tensor in Student.random(info, 1).weights('full').items()}
    for student, error in ((b'x' * 100, CorruptUpdate), (pack_student(broken), NonFiniteUpdate)):
        with pytest.raises(error):
            tutor.distill(replace(key_frame(scene, session_id=5, layout_hash=layout),
                                  student=student))
    update = tutor.first_student('a')
    assert (update.version, update.session_id == 5) == (0, False)


def test_another_students_weights_are_not_taken(
    scene: Scene, classes: ClassSet, info: StudentInfo,
) -> None:
    """As many numbers in the same shapes, but of other classes."""
    tutor = make_tutor(scene, classes, info)
    other = Student.random(replace(info, class_names=('forklift', *info.class_names[1:])), 1)
    update = tutor.distill(replace(
        key_frame(scene, session_id=5, layout_hash=other.layout_hash),
        student=pack_student(other.weights('full'))))
    assert update.session_id != 5
    assert update.layout_hash != other.layout_hash
