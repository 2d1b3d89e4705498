# SPDX-License-Identifier: Apache-2.0
"""Boxes through the whole of a tutor and a robot: trainer, deltas, state and those who look on."""

from __future__ import annotations

from pathlib import Path
import queue
from typing import Any

import numpy as np
import pytest
from runtime.key_frames import key_frame
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.first_student import first_student
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.tasks.detection.boxes import boxes_of
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.wire.update import NO_SESSION


def tutor_of(scene: Scene, classes: ClassSet, folder: Path | None = None) -> Tutor:
    return Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps),
                 first_student('random', classes, task='detection'),
                 TutorSettings(DistillSettings(cold_start_updates=32), state_folder=folder))


def test_a_robot_learns_boxes_and_its_tutor_goes_on_from_a_folder(
    scene: Scene, classes: ClassSet, tmp_path: Path,
) -> None:
    tutor = tutor_of(scene, classes, tmp_path)
    first = tutor.first_student('a')
    loop = StudentLoop(
        student_from_update(first, tutor.info), Scheduler(ScheduleSettings(4, 8, policy=PACED)),
        LocalLink(tutor), 'a', session_id=first.session_id, version=first.version)
    for index in range(12):
        answer = loop.segment(scene.frames[index], scene.stamp(index))
        loop.settle()
        assert not loop.counters.failed, loop.counters.detail
    assert loop.counters.updates_applied >= 2
    assert loop.counters.metric > 0.5
    boxes = boxes_of(answer)
    assert {classes.names[class_id] for class_id in boxes.ids} & {'person', 'auto'}
    tutor.close()

    again = tutor_of(scene, classes, tmp_path).first_student('a')
    student = student_from_update(again, tutor.info)
    assert again.session_id == first.session_id != NO_SESSION
    np.testing.assert_array_equal(
        student.segment(scene.frames[11]), loop.student.segment(scene.frames[11]))


def test_who_looks_on_sees_the_boxes_of_teacher_and_student(
    scene: Scene, classes: ClassSet,
) -> None:
    seen: queue.Queue[Any] = queue.Queue()
    tutor = tutor_of(scene, classes)
    tutor.submit(key_frame(scene), on_lesson=lambda *lesson: seen.put(lesson)).result(60)
    _, frame, label, mask = seen.get(timeout=30)
    for drawn in (label, mask):
        assert (drawn.shape, drawn.dtype) == (frame.shape[:2], np.uint8)
    person = scene.labels[0] == classes.names.index('person')
    inside = label[person]
    assert 0 < (inside != classes.background).sum() < inside.size / 2  # its lines alone
    assert label[20, 15] == classes.names.index('person')


@pytest.mark.parametrize('name', ['boxes', 'masks'])
def test_a_robot_of_one_task_does_not_take_the_others_weights(
    scene: Scene, classes: ClassSet, name: str,
) -> None:
    tutor = tutor_of(scene, classes)
    own = first_student('random', classes, task='detection' if name == 'boxes' else 'auto')
    loop = StudentLoop(own, Scheduler(ScheduleSettings(4, 8, policy=PACED, update_delay=1)),
                       LocalLink(tutor), 'a')
    loop.segment(scene.frames[0])
    loop.settle()
    assert loop.foreign == (name == 'masks')
