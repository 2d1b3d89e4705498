# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.demo.drawing import plot_miou, side_by_side


def test_frames_side_by_side_and_miou_over_time(
    tmp_path: Path, scene: Scene, classes: ClassSet,
) -> None:
    frame, label = scene.frames[0], scene.labels[0]
    picture = side_by_side(frame, label, label, classes.colours, ('a', 'b', 'c'))
    assert picture.shape[1] == 3 * frame.shape[1]
    below = picture[-frame.shape[0]:]
    np.testing.assert_array_equal(below[:, :frame.shape[1]], frame)
    assert (below[:, frame.shape[1]:] != np.hstack([frame, frame])).any()
    path = tmp_path / 'miou.png'
    plot_miou(path, 'title', [0.1, 0.9], [0.1, 0.1], [0])
    assert cv2.imread(str(path)).std() > 0
