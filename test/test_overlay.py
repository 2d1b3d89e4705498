# SPDX-License-Identifier: Apache-2.0
import numpy as np

from shadowtutor_ros.overlay import overlay


def test_objects_are_painted_and_background_is_not() -> None:
    frame = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    painted = overlay(frame, mask, ((200, 0, 0), (0, 100, 0), (9, 9, 9)), 0.5)
    assert painted[0, 0].tolist() == [50, 50, 150]
    assert painted[0, 1].tolist() == [50, 100, 50]
    assert painted[1].tolist() == [[100] * 3] * 2
    assert (frame == 100).all()
