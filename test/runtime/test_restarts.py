# SPDX-License-Identifier: Apache-2.0
"""A tutor that is started again goes on where its state folder left off."""

from collections.abc import Callable
from dataclasses import replace
import logging
from pathlib import Path
import shutil

import numpy as np
import pytest
from runtime.key_frames import DISTILL, key_frame
from runtime.loops import assert_same_weights, weights_of
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.state_file import pack, unpack
from shadowtutor_ros.runtime.state_folder import UnusableStateFolder
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.wire.delta import DELTA
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.update import StudentUpdate, verify_update


class Robot:
    """Takes every answer of the tutor that it has."""

    def __init__(self, tutor: Tutor, scene: Scene) -> None:
        self.tutor, self.scene = tutor, scene
        first = tutor.first_student('a')
        self.student = student_from_update(first, tutor.info)
        self.session_id, self.version = first.session_id, first.version

    def ask(self, index: int) -> StudentUpdate:
        return self.tutor.distill(key_frame(
            self.scene, index, session_id=self.session_id, student_version=self.version))

    def learn(self, index: int) -> StudentUpdate:
        update = self.ask(index)
        self.student.load(verify_update(update, self.student, self.session_id, self.version))
        self.session_id, self.version = update.session_id, update.version
        return update


@pytest.fixture
def start(
    scene: Scene, classes: ClassSet, info: StudentInfo, tmp_path: Path,
) -> Callable[..., Tutor]:
    """Starts tutors with the folder ``state``, or another one."""
    def start(folder: str = 'state', weights: str = DELTA, seed: int = 0) -> Tutor:
        return Tutor(
            LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, seed),
            TutorSettings(DISTILL, WeightSettings(weights), max_streams=2, lessons_at_once=1,
                          state_folder=tmp_path / folder))
    return start


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob('*.state'))


@pytest.mark.parametrize(('weights', 'encoding'), [(DELTA, DELTA), ('fp16', 'fp16')])
def test_lessons_go_on_as_if_nothing_had_happened(
    start: Callable[..., Tutor], scene: Scene, weights: str, encoding: str,
) -> None:
    """Adam, its past and what rounding left out are the same: so is the next answer."""
    robot, other = Robot(start('state', weights), scene), Robot(start('other', weights), scene)
    for index in range(4):
        assert robot.learn(index).metric == other.learn(index).metric
    robot.tutor.close()
    robot.tutor = start('state', weights, seed=9)  # its first student is not asked for
    again, expected = robot.learn(4), other.learn(4)
    assert again.session_id == robot.session_id
    assert (again.group, again.weights.encoding) == (PARTIAL, encoding)
    assert again.weights == expected.weights
    assert (again.initial_metric, again.metric, again.steps) == (
        expected.initial_metric, expected.metric, expected.steps)
    assert again.version > 5
    assert again.base_version == (4 if encoding == DELTA else 0)
    assert_same_weights(weights_of(robot.student), weights_of(robot.tutor._streams['a']._state))
    assert robot.learn(5).weights.encoding == encoding
    stream, = robot.tutor.report().streams
    assert stream.key_frames == 6


def test_a_robot_that_asks_for_its_student_gets_what_it_ran(
    start: Callable[..., Tutor], scene: Scene,
) -> None:
    robot = Robot(start(), scene)
    robot.learn(0)
    robot.learn(1)
    robot.tutor.close()
    again = Robot(start(), scene)
    assert (again.session_id, again.version) == (robot.session_id, robot.version)
    assert_same_weights(weights_of(again.student), weights_of(robot.student))
    assert again.learn(2).base_version == robot.version
    stream, = again.tutor.report().streams
    assert stream.key_frames == 3


def test_a_robot_that_missed_the_last_answer_gets_a_difference_too(
    start: Callable[..., Tutor], scene: Scene,
) -> None:
    robot = Robot(start(), scene)
    robot.learn(0)
    robot.learn(1)
    robot.ask(2)
    robot.tutor.close()
    robot.tutor = start()
    update = robot.learn(3)
    assert (update.weights.encoding, update.base_version) == (DELTA, 2)


@pytest.mark.parametrize('lost', [1, 2])
def test_a_version_that_was_lost_is_answered_with_the_whole_student(
    start: Callable[..., Tutor], scene: Scene, tmp_path: Path, lost: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    robot = Robot(start(), scene)
    robot.learn(0)
    robot.tutor.close()
    shutil.copytree(tmp_path / 'state', tmp_path / 'older')
    robot.tutor = start()
    monkeypatch.setattr('secrets.randbelow', lambda most: 0)
    for index in range(lost):
        robot.learn(1 + index)
    monkeypatch.setattr('secrets.randbelow', lambda most: most - 1)
    robot.tutor = start('older')
    session_id, before = robot.session_id, robot.version
    lost_answer = robot.ask(3)
    for update in (lost_answer, robot.learn(4)):
        assert (update.group, update.base_version) == (FULL, 0)
        assert update.weights.encoding != DELTA
        assert (update.session_id, update.version > before) == (session_id, True)
    assert robot.learn(5).weights.encoding == DELTA
    assert_same_weights(weights_of(robot.student), weights_of(robot.tutor._streams['a']._state))


def test_a_version_beyond_all_numbers_opens_another_session(
    start: Callable[..., Tutor], scene: Scene,
) -> None:
    robot = Robot(start(), scene)
    robot.learn(0)
    session_id, robot.version = robot.session_id, 2**32 - 1
    update = robot.learn(1)
    assert (update.group, update.base_version, update.version) == (FULL, 0, 2)
    assert update.session_id != session_id
    assert robot.learn(2).weights.encoding == DELTA


def flipped(data: bytes) -> bytes:
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


def without_a_moment(data: bytes) -> bytes:
    key, snapshot = unpack(data)
    return pack(key, {name: array for name, array in snapshot.items()
                      if name != 'square/out_conv3.bias'})


def not_finite(data: bytes) -> bytes:
    key, snapshot = unpack(data)
    return pack(key, {**snapshot, 'mean/out_conv3.bias': np.full(9, np.inf, np.float32)})


@pytest.mark.parametrize(('damage', 'message'), [
    (flipped, 'expected checksum'), (lambda data: data[:1000], 'expected checksum'),
    (lambda data: b'', 'expected a file that begins with'),
    (without_a_moment, 'square/out_conv3.bias is missing'),
    (not_finite, 'mean/out_conv3.bias holds values that are not finite')])
def test_a_damaged_state_costs_a_whole_student_and_no_more(
    start: Callable[..., Tutor], scene: Scene, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes], message: str,
) -> None:
    robot = Robot(start(), scene)
    robot.learn(0)
    robot.learn(1)
    robot.tutor.close()
    path, = files(tmp_path / 'state')
    path.write_bytes(damage(path.read_bytes()))
    robot.tutor = start()
    session_id = robot.session_id
    update = robot.learn(2)
    assert (update.group, update.base_version) == (FULL, 0)
    assert update.session_id != session_id
    record, = caplog.records
    assert record.levelno == logging.WARNING
    assert str(path) in record.getMessage()
    assert message in record.getMessage()
    assert robot.learn(3).weights.encoding == DELTA
    robot.tutor.close()
    assert start().first_student('a').version == robot.version


def test_another_students_state_is_left_alone(
    start: Callable[..., Tutor], scene: Scene, classes: ClassSet, info: StudentInfo,
    tmp_path: Path,
) -> None:
    robot = Robot(start(), scene)
    robot.learn(0)
    robot.tutor.close()
    names = ('forklift', *info.class_names[1:])
    other = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps),
                  Student.random(replace(info, class_names=names), 0),
                  TutorSettings(DISTILL, state_folder=tmp_path / 'state'))
    assert other.first_student('a').version == 0
    other.distill(key_frame(scene))
    other.close()
    assert len(files(tmp_path / 'state')) == 2
    assert start().first_student('a').version == 1


def test_a_stream_that_lost_its_place_goes_on_when_it_returns(
    start: Callable[..., Tutor], scene: Scene,
) -> None:
    tutor = start()
    tutor._turns._idle_timeout = 0.0
    robot = Robot(tutor, scene)
    robot.learn(0)
    for stream_id in 'bc':
        tutor.distill(key_frame(scene, stream_id=stream_id))
    assert 'a' not in tutor.streams
    update = robot.learn(1)
    assert (update.weights.encoding, update.base_version) == (DELTA, 1)


def test_a_disk_that_is_full_costs_no_lesson(
    start: Callable[..., Tutor], scene: Scene, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_space(*arguments: object) -> None:
        raise OSError(28, 'No space left on device')

    robot = Robot(start(), scene)
    monkeypatch.setattr('shadowtutor_ros.runtime.state_folder.replace_file', no_space)
    for index in range(3):
        robot.learn(index)
    robot.tutor.close()
    record, = caplog.records
    assert 'No space left on device' in record.getMessage()


def test_two_tutors_do_not_share_a_state_folder(start: Callable[..., Tutor]) -> None:
    tutor = start()
    with pytest.raises(UnusableStateFolder, match='another process keeps its own state there'):
        start()
    tutor.close()
    start().close()
