# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
import sys

import pytest
from scene import Scene

from shadowtutor_ros.doctor.finding import BOTH, Finding, OK, PROBLEM, SKIPPED, WARNING
from shadowtutor_ros.doctor.teacher import package, teacher, teacher_of, weights
from shadowtutor_ros.teacher.factory import TEACHERS


@pytest.mark.parametrize('name', ['detectron2', 'torchvision'])
def test_a_package_of_this_machine_is_tried(name: str) -> None:
    levels = (OK, WARNING) if find_spec(name) else (SKIPPED,)
    assert package(name, TEACHERS[name].modules).level in levels


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a torchvision of our own."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in [name for name in set(sys.modules) - before if name.startswith('torchvision')]:
        del sys.modules[name]


@pytest.mark.skipif('torchvision' in sys.modules, reason='the real torchvision is loaded')
def test_a_torchvision_for_another_torch_is_explained(installed: Path) -> None:
    (installed / 'torchvision.py').write_text(
        'raise RuntimeError("operator torchvision::nms does not exist")')
    finding = package('torchvision', TEACHERS['torchvision'].modules)
    assert finding.level == WARNING
    assert 'not for this torch: RuntimeError: operator torchvision::nms' in finding.found
    assert finding.fix.endswith('--force-reinstall torch torchvision')


@pytest.mark.skipif('torchvision' in sys.modules, reason='the real torchvision is loaded')
def test_a_package_that_can_be_imported_is_fine(installed: Path) -> None:
    (installed / 'torchvision/models/detection').mkdir(parents=True)
    for folder in ('.', 'models', 'models/detection'):
        (installed / 'torchvision' / folder / '__init__.py').touch()
    assert package('torchvision', TEACHERS['torchvision'].modules).level == OK


def test_label_maps_are_really_read(scene: Scene) -> None:
    assert weights('').level == SKIPPED
    finding = weights(str(scene.label_maps))
    assert (finding.level, finding.what) == (OK, 'teacher labels')


@pytest.mark.parametrize(('name', 'message'), [
    ('none.pt', 'no such YOLO weight file'), ('text.pt', 'not a readable YOLO weight file'),
    ('text.npz', 'not a readable .npz'), ('none.npy', 'none.npy'), ('none.npz', 'not there')])
def test_weights_that_cannot_be_read_are_a_problem(
    tmp_path: Path, name: str, message: str,
) -> None:
    (tmp_path / 'text.pt').write_text('text')
    (tmp_path / 'text.npz').write_text('text')
    finding = weights(str(tmp_path / name))
    assert finding.level == PROBLEM
    assert message in finding.found
    assert finding.fix


@pytest.mark.parametrize(('path', 'name', 'expected'), [
    ('a.pt', '', 'yolo'), ('a.pth', '', 'torchvision'), ('a.pkl', '', 'detectron2'),
    ('a.npy', '', 'labels'), ('folder', '', 'labels'), ('a.pth', 'detectron2', 'detectron2')])
def test_a_suffix_says_whose_weights_they_are(path: str, name: str, expected: str) -> None:
    assert teacher_of(path, name) == expected


def test_an_unknown_teacher_is_a_problem() -> None:
    finding = weights('a.pth', 'oracle')
    assert finding.level == PROBLEM
    assert "got 'oracle'" in finding.found


def test_without_any_teacher_the_fix_starts_one() -> None:
    finding = teacher([Finding(SKIPPED, 'teacher detectron2', 'not installed')], '')
    assert finding.level == PROBLEM
    assert 'shadowtutor teacher fetch\n' in finding.fix
    assert 'teacher:=yolo' in finding.fix


def test_a_robot_needs_no_teacher() -> None:
    finding = teacher([Finding(SKIPPED, 'teacher detectron2', 'not installed')], '', role=BOTH)
    assert finding.level == WARNING
    assert 'a robot needs none: --role robot' in finding.found


def test_another_teacher_than_the_default_must_be_named() -> None:
    yolo = Finding(OK, 'teacher yolo', 'can be read')
    finding = teacher([yolo], '/a file.pt')
    assert finding.level == WARNING
    assert finding.fix.endswith("teacher_weights:='/a file.pt'")
    torchvision = Finding(OK, 'teacher torchvision', 'can be imported')
    assert teacher([torchvision], '').fix.endswith('teacher:=torchvision')
    assert teacher([torchvision], 'a.pth').fix.endswith('teacher_weights:=a.pth')
    both = teacher([Finding(OK, 'teacher detectron2', ''), yolo], '/a file.pt')
    assert (both.level, both.found) == (OK, 'detectron2, yolo')


def test_a_package_without_its_given_weights_is_no_teacher() -> None:
    found = [Finding(OK, 'teacher torchvision', ''), Finding(PROBLEM, 'teacher torchvision', '')]
    assert teacher(found, 'a.pth').level == PROBLEM
