# SPDX-License-Identifier: Apache-2.0
import importlib.util

import pytest

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable


def test_an_unknown_teacher_is_named(classes: ClassSet) -> None:
    with pytest.raises(TeacherError, match="detectron2, torchvision, yolo, labels, got 'oracle'"):
        create_teacher('oracle', classes)


@pytest.mark.parametrize('name', ['yolo', 'labels'])
def test_a_teacher_without_its_file_says_so(classes: ClassSet, name: str) -> None:
    with pytest.raises(TeacherError, match=f'teacher {name}: teacher_weights'):
        create_teacher(name, classes)


@pytest.mark.parametrize('name', ['detectron2', 'torchvision'])
def test_a_missing_package_is_named(classes: ClassSet, name: str) -> None:
    if importlib.util.find_spec(name):
        pytest.skip(f'{name} is installed')
    with pytest.raises(TeacherUnavailable, match=f'teacher {name}: the package is not inst'):
        create_teacher(name, classes)
