# SPDX-License-Identifier: Apache-2.0
import importlib.util
from pathlib import Path
import subprocess
import sys

import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.factory import create_teacher, TeacherRow, TEACHERS
from shadowtutor_ros.teacher.protocol import (
    Labelling,
    TeacherError,
    TeacherOptions,
    TeacherUnavailable,
)


class Meadow:
    """Finds grass everywhere."""

    name = 'meadow'
    version = '1'

    def __init__(self, options: TeacherOptions) -> None:
        self.options = options

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        return Labelling(np.zeros(frame.shape[:2], np.uint8), np.zeros((0, 4), np.float32),
                         np.zeros(0, np.float32))


@pytest.fixture
def meadow(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(TEACHERS, 'meadow', TeacherRow(Meadow, 'nothing'))
    return 'meadow'


def test_an_unknown_teacher_is_named(classes: ClassSet) -> None:
    with pytest.raises(TeacherError, match="detectron2, torchvision, yolo, labels, got 'oracle'"):
        create_teacher('oracle', classes)


def test_a_row_makes_a_teacher_of_its_options(
    meadow: str, classes: ClassSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    teacher = create_teacher(meadow, classes, weights='~/a.pth', device='cuda:1',
                             score_threshold=0.7, fps=10.0)
    assert isinstance(teacher, Meadow)
    assert teacher.options == TeacherOptions(
        'meadow', classes, tmp_path / 'a.pth', 'cuda:1', 0.7, 10.0)
    assert create_teacher(meadow, classes).options.weights is None


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


def test_the_home_folder_is_found(
    scene: Scene, classes: ClassSet, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv('HOME', str(scene.label_maps.parent))
    teacher = create_teacher('labels', classes, weights=f'~/{scene.label_maps.name}')
    assert teacher.version == str(scene.label_maps)


def test_no_two_teachers_claim_the_same_files() -> None:
    suffixes = [suffix for row in TEACHERS.values() for suffix in row.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_the_table_loads_no_network() -> None:
    done = subprocess.run(
        [sys.executable, '-c', 'import shadowtutor_ros.teacher.factory, sys; '
         "print(*{'torch', 'torchvision', 'detectron2', 'cv2'} & set(sys.modules))"],
        capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ''
