# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import pytest
from scene import Scene

from shadowtutor_ros import cli
from shadowtutor_ros.assets import cache_folder

pytestmark = pytest.mark.ros


def test_the_demo_from_end_to_end(
    tmp_path: Path, scene: Scene, capsys: pytest.CaptureFixture[str],
) -> None:
    weights = cache_folder() / 'yolov5s-seg.pt'
    if not weights.is_file():
        pytest.skip(f'{weights} is not there')
    out = tmp_path / 'out'
    assert cli.main(['demo', '--video', str(scene.video), '--frames', '12', '--out', str(out),
                     '--teacher-weights', str(weights)]) == 0
    summary = json.loads((out / 'summary.json').read_text())
    assert summary['frames'] == 12
    assert summary['key_frames'] >= 1
    assert summary['failures'] == 0
    assert 0 <= summary['miou'] <= 100
    assert {path.name for path in out.iterdir()} == {
        'summary.json', 'overlay.mp4', 'frame.png', 'miou.png', 'logs'}
    assert 'mIoU against the teacher' in capsys.readouterr().out


def test_a_missing_video_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    weights = tmp_path / 'weights.pt'
    assert cli.main(['demo', '--video', '/nowhere.mp4', '--out', str(tmp_path),
                     '--teacher-weights', str(weights)]) == 1
    assert "error: '/nowhere.mp4': no such video file" in capsys.readouterr().err
