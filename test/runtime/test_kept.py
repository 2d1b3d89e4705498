# SPDX-License-Identifier: Apache-2.0
"""Students out of state folders."""

from dataclasses import replace
from pathlib import Path

import pytest
from runtime.key_frames import DISTILL, key_frame
from runtime.loops import assert_same_weights, weights_of
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.kept import kept_streams, kept_student, NoSuchStudent
from shadowtutor_ros.runtime.robot_state import RobotState
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher


@pytest.fixture
def taught(scene: Scene, classes: ClassSet, info: StudentInfo, tmp_path: Path) -> Student:
    """Keep two streams in the folder ``state``; return the student of 'a'."""
    tutor = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, 0),
                  TutorSettings(DISTILL, state_folder=tmp_path / 'state', library=2))
    frame = key_frame(scene, 0)
    tutor.distill(frame)
    student = student_from_update(tutor.first_student(frame.stream_id), info)
    tutor.distill(replace(frame, stream_id='other robot'))
    tutor.close()
    return student


def test_a_tutor_keeps_what_its_robots_were_given(
    taught: Student, info: StudentInfo, tmp_path: Path,
) -> None:
    found = kept_streams(tmp_path / 'state')
    assert sorted(found) == ['a', 'other robot']
    student = kept_student(found['a'], info)
    assert student.info == info
    assert_same_weights(weights_of(student), weights_of(taught))


@pytest.mark.usefixtures('taught')
def test_other_classes_are_refused(info: StudentInfo, tmp_path: Path) -> None:
    renamed = replace(info, class_names=('cat', *info.class_names[1:]))
    with pytest.raises(NoSuchStudent, match='have other classes than cat, bicycle'):
        kept_student(kept_streams(tmp_path / 'state')['a'], renamed)


def test_a_robot_keeps_its_own_while_it_runs(tmp_path: Path, info: StudentInfo) -> None:
    own = replace(info, mean=(1.0, 2.0, 3.0))
    student = Student.random(own, 3)
    for robot in ('a', 'b'):
        state = RobotState(tmp_path, robot)
        state.keep(student, 7, 1)
        state._folder._thread.shutdown()
    found = kept_streams(tmp_path)
    assert sorted(found) == ['a', 'b']
    kept = kept_student(found['b'], info)
    assert kept.info == own
    assert_same_weights(weights_of(kept), weights_of(student))


def test_a_folder_without_students_is_named(tmp_path: Path) -> None:
    (tmp_path / 'damaged.state').write_text('?')
    with pytest.raises(NoSuchStudent, match=f'{tmp_path}: expected the state_folder of a robot'):
        kept_streams(tmp_path)
