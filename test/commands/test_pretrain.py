# SPDX-License-Identifier: Apache-2.0
"""The command: labels once, trains, goes on, and says what is wrong."""

import json
from pathlib import Path
import shutil

import cv2
import pytest
from scene import Scene

from shadowtutor_ros import cli
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.pretrain.training import Pretraining

QUICK = ('--steps', '4', '--batch', '1', '--judge-every', '2', '--threads', '1', '--every', '10')


@pytest.fixture
def work(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two clips and their labels: the scene's halves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('SHADOWTUTOR_CACHE', 'cache')
    for name, part in (('early', slice(0, 20)), ('late', slice(20, 40))):
        for kind, source in (('', scene.video), ('labels', scene.label_maps)):
            (tmp_path / kind / name).mkdir(parents=True)
            for path in sorted(source.iterdir())[part]:
                shutil.copy(path, tmp_path / kind / name)
    return tmp_path


def command(*more: str) -> list[str]:
    return ['pretrain', 'early', 'late', '--labels', 'labels', '--out', 'a.safetensors', *QUICK,
            *more]


def test_two_clips_make_a_first_student(
    work: Path, info: StudentInfo, capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(command('--hold-out', 'early')) == 0
    out = capsys.readouterr().out
    assert '2 pictures of 1 clips to train on; held out: early' in out
    assert 'a.safetensors: mIoU ' in out
    assert load_checkpoint(work / 'a.safetensors').info == info


def test_the_student_is_half_precision_unless_it_is_asked_not_to(work: Path) -> None:
    assert cli.main(command()) == 0
    half = (work / 'a.safetensors').stat().st_size
    assert cli.main(command('--fp32')) == 0
    assert half < 1_100_000 < 1.8 * half < (work / 'a.safetensors').stat().st_size


def test_an_interrupted_command_leaves_the_best_and_goes_on(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    take = Pretraining._take_step

    def interrupted(self: Pretraining) -> float:
        if self.step == 3:
            raise KeyboardInterrupt
        return take(self)
    monkeypatch.setattr(Pretraining, '_take_step', interrupted)
    assert cli.main(command()) == 130
    assert 'a.safetensors: the best so far' in capsys.readouterr().out
    assert (work / 'a.safetensors').is_file()
    monkeypatch.undo()
    monkeypatch.chdir(work)
    assert cli.main(command()) == 0
    assert 'step 2:' not in capsys.readouterr().out


def test_annotated_pictures_beside_a_video(
    work: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    path = sorted((work / 'early').iterdir())[0]
    height, width = cv2.imread(str(path)).shape[:2]
    (work / 'photos.json').write_text(json.dumps({
        'images': [{'id': 1, 'file_name': path.name, 'height': height, 'width': width}],
        'categories': [{'id': 1, 'name': 'person'}],
        'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1, 'area': 560,
                         'segmentation': [[10, 20, 24, 20, 24, 60, 10, 60]]}]}))
    assert cli.main(['pretrain', 'late', '--labels', 'labels/late', '--coco', 'early',
                     'photos.json', '--hold-out', 'late', '--out', 'a.safetensors', *QUICK]) == 0
    assert '1 pictures of 1 clips to train on; held out: late' in capsys.readouterr().out


@pytest.mark.parametrize(('arguments', 'words'), [
    (['--out', 'a.pth'], 'expected a .safetensors file, got a.pth'),
    (['--hold-out', 'midday'], "expected names among ['early', 'late'], got ['midday']"),
    (['--checkpoint', 'none.safetensors'], 'no such student checkpoint'),
    (['--coco', 'early', 'none.json'], 'none.json: expected annotations in COCO format'),
])
def test_what_is_wrong_is_said(
    work: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str,
) -> None:
    assert cli.main(command(*arguments)) == 1
    assert words in capsys.readouterr().err
