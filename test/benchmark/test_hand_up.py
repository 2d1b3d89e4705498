# SPDX-License-Identifier: Apache-2.0
"""The bench of students that are handed up: one short run."""

from pathlib import Path

import hand_up
import pytest
from scene import Scene


def test_every_place_is_seen_with_and_without(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr('shadowtutor_ros.runtime.stream._REHEARSED', 4)  # is put back
    (tmp_path / scene.video.stem).symlink_to(scene.label_maps)
    hand_up.main([str(scene.video), '--labels', str(tmp_path), '--at', '4,8', '--rehearsed', '0,1',
                  '--window', '3', '--setting', 'plain'])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[1:3] for row in rows[:4]] == [['4', '0'], ['4', '1'], ['8', '0'], ['8', '1']]
    assert all(0.0 < float(row[3]) <= 100.0 for row in rows[:4])
    assert [row[0] for row in rows[4:]] == ['0', '1']
    # The first frame is seen before there is a lesson.
    assert rows[0][5] == rows[1][5]
