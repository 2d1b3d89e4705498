# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor evaluate --task detection``: settings judged by the teacher's boxes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros import cli
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.record import read_records

FRAMES = 24


def command(scene: Scene, out: Path, *more: str) -> list[str]:
    return ['evaluate', str(scene.video), '--labels', str(scene.label_maps), '--task', 'detection',
            '--frames', str(FRAMES), '--threads', '1', '--out', str(out), '--checkpoint',
            'random', *more]


@pytest.fixture(scope='module')
def done(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('detection')
    assert cli.main(command(scene, out, '--settings', 'wild,naive,naive-jpeg,ours')) == 0
    return out


def figures_of(out: Path) -> Any:
    return json.loads((out / 'summary.json').read_text())['videos']['video']


def test_the_teacher_is_perfect_and_lessons_help(done: Path) -> None:
    figures = figures_of(done)
    for naive in ('naive', 'naive-jpeg'):
        assert figures[naive]['miou'] == pytest.approx(100)
        assert figures[naive]['ap50'] == pytest.approx(100)
        # Two boxes of four numbers, a score and a class.
        assert figures[naive]['bytes_down'] == FRAMES * 2 * (4 * 4 + 4 + 1)
    assert figures['wild']['miou'] == 0
    for figure in ('miou', 'ap50'):
        assert figures['ours'][figure] >= figures['wild'][figure] + 20
    assert set(figures['ours']['class_iou']) > {'person', 'auto', 'background'}
    assert figures['ours']['class_iou']['background'] is None


def test_a_row_for_every_frame(done: Path, classes: ClassSet) -> None:
    records = read_records(done / 'runs/video/ours/frames.csv')
    assert len(records) == FRAMES
    assert records[0].key_frame
    assert all(0 <= record.miou <= 1 for record in records)


def test_examples_show_boxes(done: Path, scene: Scene, classes: ClassSet) -> None:
    path, *_ = sorted((done / 'runs/video/naive').glob('mask_*.png'))
    drawn = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert drawn.shape == scene.frames[0].shape[:2]
    assert set(np.unique(drawn)) == {classes.names.index('person'), classes.names.index('auto'),
                                     classes.background}
    label = scene.labels[int(path.stem.removeprefix('mask_'))]
    assert 0 < (drawn != classes.background).sum() < (label != classes.background).sum()


def test_the_report_calls_figures_by_their_names(done: Path) -> None:
    report = (done / 'report.md').read_text()
    assert 'Table 6: box quality, %' in report
    assert '### AP50, %' in report
    assert 'Box quality per class, %' in report
    assert 'ours: box quality' in report
    assert 'mIoU' not in report


def test_what_is_done_is_not_run_again(
    scene: Scene, done: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = figures_of(done)
    monkeypatch.setattr('shadowtutor_ros.evaluation.evaluate.run_in_process', None)
    assert cli.main(command(scene, done, '--settings', 'wild,naive,naive-jpeg,ours')) == 0
    assert figures_of(done) == before


def test_over_the_nodes_there_is_segmentation_alone(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(command(scene, tmp_path / 'out', '--settings', 'ours', '--ros')) == 1
    assert 'over ROS: expected the task segmentation, got detection' in capsys.readouterr().err
