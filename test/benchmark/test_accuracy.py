# SPDX-License-Identifier: Apache-2.0
"""The accuracy bench: one real run, and what its means are."""

from __future__ import annotations

import json
import math
from pathlib import Path
import sys

import accuracy
from accuracy import AccuracyError, clips_of, first_quarter, means, Row, table
import cv2
import pytest
from scene import Scene

from shadowtutor_ros.evaluation.record import FrameRecord

SETTING = """\
max_updates: 2
cold_start_updates: 4
"""


@pytest.fixture
def folder(scene: Scene, tmp_path: Path) -> Path:
    """Return a folder with one clip, and ``labels`` of it."""
    height, width = scene.frames[0].shape[:2]
    video = cv2.VideoWriter(
        str(tmp_path / 'walk.avi'), cv2.VideoWriter.fourcc(*'FFV1'), scene.fps, (width, height))
    for frame in scene.frames:
        video.write(frame)
    video.release()
    (tmp_path / 'notes.txt').write_text('no clip')
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels/walk').symlink_to(scene.label_maps)
    (tmp_path / 'short.yaml').write_text(SETTING)
    return tmp_path


def test_a_run_is_in_the_table_and_is_not_repeated(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [
        'accuracy.py', str(folder), '--labels', str(folder / 'labels'), '--settings',
        f'wild,{folder / "short.yaml"}', '--frames', '12', '--processes', '1',
        '--out', str(folder / 'out'), '--json', str(folder / 'accuracy.json'),
        '--plot', str(folder / 'plot.png')]
    monkeypatch.setattr(sys, 'argv', arguments)
    accuracy.main()
    wild, short = json.loads((folder / 'accuracy.json').read_text())['rows']
    assert [row['setting'] for row in (wild, short)] == ['wild', 'short']
    assert (wild['clip'], wild['seed'], wild['kbps'], wild['key_frame_ratio']) == ('walk', 0, 0, 0)
    assert short['miou'] > wild['miou']
    assert short['kbps'] > 0
    assert short['key_frame_ratio'] == pytest.approx(100 * 2 / 12)
    assert (folder / 'plot.png').stat().st_size > 1000
    printed = capsys.readouterr().out
    assert f'| short | {short["miou"]:.1f} |' in printed

    (frames,) = (folder / 'out/seed-0/short/walk/runs').rglob('frames.csv')
    written = frames.stat().st_mtime_ns
    accuracy.main()
    assert capsys.readouterr().out == printed
    assert frames.stat().st_mtime_ns == written


def test_what_is_not_there_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AccuracyError, match=r'labels: expected videos .*, found none'):
        clips_of(folder / 'labels')
    monkeypatch.setattr(sys, 'argv', [
        'accuracy.py', str(folder), '--labels', 'labels', '--clips', 'run,walk'])
    with pytest.raises(AccuracyError, match='--clips: run not in walk'):
        accuracy.main()


def row(setting: str, seed: int, clip: str, miou: float) -> Row:
    return Row(clip, setting, seed, miou, miou / 2, 100 * miou, 8.0, 16.0)


def test_the_error_is_that_of_the_seeds() -> None:
    rows = [row('a', 0, 'x', 60.0), row('a', 0, 'y', 80.0), row('a', 1, 'x', 62.0),
            row('a', 1, 'y', 82.0), row('a', 2, 'x', 64.0), row('a', 2, 'y', 84.0),
            row('b', 0, 'x', 50.0)]
    a, b = means(rows)
    assert (a.setting, a.miou, a.miou_first_quarter, a.kbps) == ('a', 72.0, 36.0, 7200.0)
    assert a.error == pytest.approx(2 / math.sqrt(3))  # of 70, 72 and 74
    assert math.isnan(b.error)
    assert table(rows).splitlines()[2:] == [
        '| a | 72.0 | 1.2 | 36.0 | 7200 | 8.0 | 16.0 |',
        '| b | 50.0 |  | 25.0 | 5000 | 8.0 | 16.0 |']


def test_the_first_quarter() -> None:
    assert first_quarter([FrameRecord(i, i / 10) for i in range(8)]) == pytest.approx(0.05)
    assert first_quarter([FrameRecord(0, 0.5), FrameRecord(1, 0.9)]) == 0.5
