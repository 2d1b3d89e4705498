# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import runpy

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.demo.drawing import BAR, side_by_side
from shadowtutor_ros.video_writer import VideoWriter

SCRIPT = Path(__file__).parents[2] / 'scripts/make_film.py'


def test_a_piece_of_the_demos_video_as_a_film(
    tmp_path: Path, scene: Scene, classes: ClassSet, capsys: pytest.CaptureFixture[str],
) -> None:
    pictures = [side_by_side(frame, label, label, classes.colours, ('a', 'b', 'c'))
                for frame, label in zip(scene.frames, scene.labels)]
    video, film = tmp_path / 'overlay.mp4', tmp_path / 'film.webp'
    with VideoWriter(video, 20.0) as writer:
        for picture in pictures:
            writer.write(picture)
    runpy.run_path(str(SCRIPT))['main']([
        str(video), str(film), '--start', '5', '--frames', '10', '--crop', '20,10,64,48',
        '--width', '192', '--quality', '90'])
    found, animation = cv2.imreadanimation(str(film))
    assert found
    assert list(animation.durations) == [50] * 10
    assert animation.frames[0].shape[:2] == (BAR + 48, 3 * 64)
    for shown, *all_of_them in zip(animation.frames, pictures[5:], pictures, pictures[6:]):
        own, *others = (np.abs(shown[BAR:, :64, :3].astype(int)
                               - picture[BAR + 10:BAR + 58, 20:84]).mean()
                        for picture in all_of_them)
        assert own < min(others)
    assert str(film) in capsys.readouterr().out
