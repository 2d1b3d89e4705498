# SPDX-License-Identifier: Apache-2.0
import numpy as np

from shadowtutor_ros.overlay import outline, overlay


def test_objects_are_painted_and_background_is_not() -> None:
    frame = np.full((2, 2, 3), 100, np.uint8)
    mask = np.array([[0, 1], [2, 255]], np.uint8)
    painted = overlay(frame, mask, ((200, 0, 0), (0, 100, 0), (9, 9, 9)), 0.5)
    assert painted[0, 0].tolist() == [50, 50, 150]
    assert painted[0, 1].tolist() == [50, 100, 50]
    assert painted[1].tolist() == [[100] * 3] * 2
    assert (frame == 100).all()


def test_boxes_have_lines_in_the_colours_of_their_classes() -> None:
    frame = np.full((60, 80, 3), 100, np.uint8)
    boxes = np.array([[10, 30, 40, 50], [10, 30, 40, 50]], np.float32)
    painted = outline(frame, boxes, np.array([0, 1], np.uint8), ['', ''],
                      ((200, 0, 0), (0, 100, 0), (9, 9, 9)), 0.5)
    assert painted[40, 10].tolist() == [50, 50, 150]  # the first is on top
    assert painted[40, 25].tolist() == [100] * 3
    assert (frame == 100).all()
    captioned = outline(frame, boxes, np.array([0, 1], np.uint8), ['person 90 %', ''],
                        ((200, 0, 0), (0, 100, 0), (9, 9, 9)), 1.0)
    assert (captioned[:29] != 100).any()


def test_a_box_of_a_class_without_a_colour_is_white() -> None:
    frame = np.zeros((60, 80, 3), np.uint8)
    painted = outline(frame, np.array([[10, 30, 40, 50]], np.float32), np.array([7], np.uint8),
                      [''], (), 1.0)
    assert painted[40, 10].tolist() == [255] * 3


def test_without_colours_nothing_is_painted() -> None:
    frame = np.full((2, 2, 3), 100, np.uint8)
    np.testing.assert_array_equal(overlay(frame, np.zeros((2, 2), np.uint8), (), 0.5), frame)
