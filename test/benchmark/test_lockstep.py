# SPDX-License-Identifier: Apache-2.0
"""The tutor that the fleet benchmark compares with teaches as the plain loop does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import threading

from fleet_robots import TaughtBy
from lockstep import LockStepTutor, PlainLessons
import numpy as np
import pytest
from reference import Reference
from scene import make_scene, Scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.schedule.turns import Superseded
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.key_frame import encode_frame, RAW
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate, verify_update

CLASSES = ClassSet.load(config_file('lvs8', 'classes'))
INFO = StudentInfo(CLASSES.names)
STEPS = 3
SETTINGS = DistillSettings.plain(threshold=0.9999, max_updates=STEPS, cold_start_updates=STEPS,
                           cold_start_group=PARTIAL)
LIMIT = 60.0  # seconds that nothing here takes


@pytest.fixture(scope='module')
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp('scene'), CLASSES, 3)


@pytest.fixture(scope='module')
def taught(scene: Scene) -> Student:
    student = Student.random(INFO, 0)
    PlainLessons(student, DistillSettings.plain(threshold=0.5, cold_start_updates=12)).teach(
        scene.frames[0], Labelling(scene.labels[0]))
    return student


class GatedTeacher:
    """The scene's labels, each given when somebody opens the gate."""

    name, version = 'gated', '1'

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.asked = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.stamps: list[float] = []

    def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
        self.stamps.append(stamp)
        self.asked.release()
        assert self.gate.acquire(timeout=LIMIT)
        which = next(i for i, other in enumerate(self._scene.frames)
                     if np.array_equal(other, frame))
        return Labelling(self._scene.labels[which])


@pytest.fixture
def teacher(scene: Scene) -> GatedTeacher:
    return GatedTeacher(scene)


@pytest.fixture
def tutor(teacher: GatedTeacher, taught: Student) -> Iterator[LockStepTutor]:
    tutor = LockStepTutor(teacher, taught, SETTINGS, threads=1)
    yield tutor
    for _ in range(10):
        teacher.gate.release()
    tutor.close()


def key_frame(scene: Scene, which: int, stream_id: str, first: StudentUpdate,
              version: int = 0, stamp: int = 0) -> KeyFrame:
    return KeyFrame(stream_id, which, first.session_id, version, stamp, '',
                    encode_frame(scene.frames[which], RAW))


def test_a_lesson_is_the_plain_loops(scene: Scene, taught: Student) -> None:
    student = taught.clone()
    reference = Reference(student.weights(FULL), INFO.mean, INFO.std)
    lesson = PlainLessons(student, SETTINGS).teach(
        scene.frames[2], Labelling(scene.labels[2]))
    metric, steps = reference.distill(
        scene.frames[2], scene.labels[2], torch.ones(96, 128), 0.9999, STEPS)
    assert (lesson.group, lesson.steps) == (PARTIAL, steps)
    assert lesson.metric == pytest.approx(metric, rel=5e-3)
    assert lesson.metric > lesson.initial_metric
    for frame in scene.frames:  # Adam's first steps make much of little in single weights
        assert (student.segment(frame) == reference.segment(frame)).mean() > 0.998


def test_a_cold_start_trains_everything_until_it_is_good_enough(scene: Scene) -> None:
    lessons = PlainLessons(Student.random(INFO, 0), DistillSettings.plain(
        threshold=0.3, max_updates=1, cold_start_updates=40))
    groups = [lessons.teach(scene.frames[0], Labelling(scene.labels[0])).group for _ in range(2)]
    assert groups == [FULL, PARTIAL]


def test_the_robot_runs_what_was_judged(
    scene: Scene, tutor: LockStepTutor, teacher: GatedTeacher,
) -> None:
    robot, version = first_of(tutor, 'robot'), 0
    session = tutor.first_student('robot')
    kinds = []
    for which in (1, 2):
        teacher.gate.release()
        update = tutor.submit(key_frame(scene, which, 'robot', session, version)).result(LIMIT)
        robot.load(verify_update(update, robot, session.session_id, version))
        version = update.version
        kinds.append((update.group, update.weights.encoding, update.steps))
        metric = float(robot.task.metric(
            torch.from_numpy(robot.segment(scene.frames[which])),
            robot.task.target(Labelling(scene.labels[which]), (96, 128), len(CLASSES))))
        assert metric == pytest.approx(update.metric, abs=1e-9)
    assert kinds == [(PARTIAL, 'delta-dct', STEPS)] * 2


def first_of(tutor: TaughtBy, stream_id: str) -> Student:
    return student_from_update(tutor.first_student(stream_id), INFO)


def test_one_at_a_time_and_the_newest_of_a_stream(
    scene: Scene, tutor: LockStepTutor, teacher: GatedTeacher,
) -> None:
    a, b = tutor.first_student('a'), tutor.first_student('b')
    first = tutor.submit(key_frame(scene, 0, 'a', a, stamp=1_000_000_000))
    assert teacher.asked.acquire(timeout=LIMIT)
    older = tutor.submit(key_frame(scene, 1, 'a', a, stamp=2_000_000_000))
    other = tutor.submit(key_frame(scene, 1, 'b', b, stamp=3_000_000_000))
    newer = tutor.submit(key_frame(scene, 2, 'a', a, stamp=4_000_000_000))
    with pytest.raises(Superseded):
        older.result(LIMIT)
    assert teacher.stamps == [1]
    for _ in range(3):
        teacher.gate.release()
    assert [f.result(LIMIT).stamp for f in (first, other, newer)] == [
        1_000_000_000, 3_000_000_000, 4_000_000_000]
    assert teacher.stamps == [1, 3, 4]


def test_what_cannot_be_taught_is_that_key_frames_answer(
    scene: Scene, tutor: LockStepTutor, teacher: GatedTeacher,
) -> None:
    session = tutor.first_student('robot')
    bad = KeyFrame('robot', 1, session.session_id, 0, 0, '', encode_frame(
        np.zeros((8, 8, 3), np.uint8), RAW))
    teacher.gate.release()
    with pytest.raises(StopIteration):  # the teacher has never seen it
        tutor.submit(bad).result(LIMIT)
    teacher.gate.release()
    assert tutor.submit(key_frame(scene, 0, 'robot', session)).result(LIMIT).version == 1


def test_the_module_does_not_use_what_it_is_compared_with() -> None:
    text = (Path(__file__).parents[2] / 'benchmark' / 'lockstep.py').read_text()
    for module in ('distill.trainer', 'runtime.tutor', 'runtime.stream'):
        assert f'shadowtutor_ros.{module}' not in text
