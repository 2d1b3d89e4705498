# SPDX-License-Identifier: Apache-2.0
import pytest
from runtime.key_frames import DISTILL
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher


@pytest.fixture
def tutor(scene: Scene, classes: ClassSet, info: StudentInfo) -> Tutor:
    return Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, 0),
                 TutorSettings(DISTILL, max_streams=2, idle_timeout=1e6, lessons_at_once=1))
