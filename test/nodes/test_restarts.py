# SPDX-License-Identifier: Apache-2.0
"""What was learnt outlives the processes that learnt it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
import signal

import numpy as np
import pytest
from robots import wait_until
from scene import Scene
from shadowtutor_msgs.msg import StudentStatus
from system import START, System
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.library import LIBRARY
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.robot_state import RobotState
from shadowtutor_ros.runtime.state_file import unpack
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher

pytestmark = pytest.mark.ros

BEFORE, AFTER = 100, 50  # frames; before, at least: until no key frame is under way
# No key frames of before, which come back from the disk not quite as they were.
TUTOR = {'max_updates': 4, 'cold_start_updates': 4, 'replay': 0}
STUDENT = {'policy': 'paced', 'min_stride': 2, 'max_stride': 8, 'update_delay': 1,
           'goal_timeout': START}
GONE = 'the tutor /tutor is gone'


def kept_version(path: Path) -> int:
    """Return the version that a tutor's only stream was given last, as its file has it."""
    return int(unpack(path.read_bytes())[1]['given'])


def state_file(folder: Path, version: int) -> Path:
    """Return the file of the only stream, when that version is in it."""
    def is_kept() -> bool:
        files = list(folder.glob('*.state'))
        return bool(files) and kept_version(files[0]) == version

    wait_until(is_kept, START)
    path, = folder.glob('*.state')
    return path


@dataclass
class Expected:
    """The same in one process without a kill, up to ``before`` frames and on from there."""

    loop: StudentLoop
    before: int = 0
    updates: int = 0  # applied by then
    masks: list[np.ndarray] = field(default_factory=list)

    def segment(self, scene: Scene, index: int) -> None:
        frame = scene.frames[index % len(scene.frames)]
        self.masks.append(self.loop.segment(frame, scene.stamp(index)))
        self.loop.settle()


@pytest.fixture
def expected(system: System, classes: ClassSet, info: StudentInfo) -> Expected:
    scene = system.scene
    labels = LabelsTeacher(Path(system.endless_labels()), classes, scene.fps)
    tutor = Tutor(labels, Student.random(info, 7),
                  TutorSettings(DistillSettings(**TUTOR), library=LIBRARY))
    first = tutor.first_student('test')
    expected = Expected(StudentLoop(
        student_from_update(first, info),
        Scheduler(ScheduleSettings(2, 8, policy=PACED, update_delay=1)), LocalLink(tutor),
        'test', session_id=first.session_id, version=first.version))
    while expected.before < BEFORE or expected.loop.scheduler.outstanding:
        expected.segment(scene, expected.before)
        expected.before += 1
    expected.updates = expected.loop.counters.updates_applied
    return expected


def killed(
    system: System, folder: Path, expected: Expected, **student: object,
) -> tuple[StudentStatus, Path]:
    """Kill the tutor after these frames; return the robot's status and the state's file."""
    frames = expected.before
    labels = system.endless_labels()
    tutor = system.tutor(teacher_weights=labels, seed=7, state_folder=str(folder), **TUTOR)
    robot = system.student(**STUDENT, **student)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace='lockstep', frames=frames, loop=True)
    system.masks(frames)
    status = system.wait(lambda s: (s.frames_processed, s.updates_applied)
                         == (frames, expected.updates))
    path = state_file(folder, status.version)
    if student:
        assert robot.stop(signal.SIGINT) == 0
    assert tutor.stop(signal.SIGKILL) == -signal.SIGKILL
    if not student:
        system.wait(lambda s: GONE in s.detail)
    node = system.collector._node
    wait_until(lambda: 'tutor' not in node.get_node_names(), START)  # it took no leave
    return status, path


def start_again(system: System, folder: Path) -> None:
    """Start a tutor with the same folder, and the camera for some frames more."""
    system.tutor(teacher_weights=system.endless_labels(), seed=8, state_folder=str(folder),
                 **TUTOR)
    assert system.collector.parameter('/tutor', 'seed', START) == 8
    system.wait(lambda s: GONE not in s.detail)  # else the first key frames would fail
    system.replay(pace='lockstep', frames=AFTER, loop=True)


def test_a_tutor_that_was_killed_goes_on_as_if_it_had_not_been(
    system: System, expected: Expected, tmp_path: Path,
) -> None:
    scene, loop, before = system.scene, expected.loop, expected.before
    for index in range(AFTER):
        expected.segment(scene, index)
    status, _ = killed(system, tmp_path / 'state', expected)
    start_again(system, tmp_path / 'state')
    masks = [mask for _, mask in system.masks(AFTER)]
    after = system.wait(lambda s: (s.frames_processed, s.updates_applied)
                        == (before + AFTER, loop.counters.updates_applied))
    assert (after.session_id, after.failures, after.updates_rejected) == (status.session_id, 0, 0)
    assert after.updates_applied > status.updates_applied
    assert after.version > status.version + 1000  # and no number was used twice
    # Differences to what ran: the same bytes as without a kill, and the same bits after them.
    assert after.bytes_down == loop.counters.bytes_down
    for index, mask in enumerate(masks):
        np.testing.assert_array_equal(mask, expected.masks[before + index], f'{index} after')


@pytest.mark.parametrize('damage', [
    lambda data: data[:len(data) // 2],
    lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]],
    ids=['truncated', 'flipped'])
def test_a_damaged_state_is_warned_of_and_the_robot_hands_its_student_up(
    system: System, expected: Expected, tmp_path: Path, damage: Callable[[bytes], bytes],
) -> None:
    status, path = killed(system, tmp_path / 'state', expected)
    path.write_bytes(damage(path.read_bytes()))
    start_again(system, tmp_path / 'state')
    system.masks(AFTER)
    after = system.wait(lambda s: s.frames_processed == expected.before + AFTER)
    assert after.session_id == status.session_id
    assert (after.failures, after.updates_rejected) == (0, 0)
    assert after.updates_applied > status.updates_applied + 1
    assert f'{path} is damaged' in (system.logs / 'tutor_node.log').read_text()
    assert path.with_suffix('.damaged').exists()


def test_a_tutor_without_a_usable_state_folder_does_not_start(
    system: System, tmp_path: Path,
) -> None:
    (tmp_path / 'file').write_text('')
    process = system.tutor(state_folder=str(tmp_path / 'file'))
    assert process._process is not None
    assert process._process.wait(START) == 1
    assert (f'UnusableStateFolder: state_folder {tmp_path}/file: nothing can be kept there'
            in process.log.read_text())


def test_a_robot_without_a_tutor_segments_with_what_it_learnt(
    system: System, expected: Expected, tmp_path: Path,
) -> None:
    labels = system.endless_labels()
    folder = str(tmp_path / 'robot')
    tutor = system.tutor(teacher_weights=labels, seed=7, **TUTOR)
    student = system.student(state_folder=folder, **STUDENT)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    camera = system.replay(pace='lockstep', frames=expected.before, loop=True)
    _, last = system.masks(expected.before)[-1]
    status = system.wait(lambda s: (s.frames_processed, s.updates_applied)
                         == (expected.before, expected.updates))
    assert camera.stop(signal.SIGINT) == 0  # its last frames would wait for the next student
    assert student.stop(signal.SIGINT) == 0
    assert tutor.stop(signal.SIGINT) == 0
    state = RobotState(Path(folder), 'test')
    kept = state.load()
    state.close()
    assert kept is not None
    torch.set_num_threads(1)
    frames = system.scene.frames
    np.testing.assert_array_equal(
        last, kept.student.segment(frames[(expected.before - 1) % len(frames)]))

    system.student(state_folder=folder, **STUDENT)
    again = system.wait(lambda s: s.state == StudentStatus.RUNNING and not s.frames_processed)
    assert (again.session_id, again.version) == (status.session_id, status.version)
    system.replay(pace='lockstep', frames=5)
    masks = system.masks(5)
    assert [stamp for stamp, _ in masks] == [system.scene.stamp(index) for index in range(5)]
    for (_, mask), frame in zip(masks, frames):
        np.testing.assert_array_equal(mask, kept.student.segment(frame))
    alone = system.wait(lambda s: s.frames_processed == 5)
    assert 'no tutor at /tutor/distill' in alone.detail


def test_a_robot_and_a_tutor_that_both_start_again_go_on_without_a_download(
    system: System, expected: Expected, tmp_path: Path,
) -> None:
    student, tutor = str(tmp_path / 'robot'), tmp_path / 'tutor'
    status, _ = killed(system, tutor, expected, state_folder=student)
    system.student(state_folder=student, **STUDENT)
    system.wait(lambda s: s.state == StudentStatus.RUNNING and not s.updates_applied)
    start_again(system, tutor)
    system.masks(AFTER)
    after = system.wait(lambda s: s.updates_applied > 3)
    assert (after.session_id, after.updates_rejected) == (status.session_id, 0)
    assert after.bytes_down < after.updates_applied * 100_000  # all weights are ten times as much
