# SPDX-License-Identifier: Apache-2.0
"""Outlines go through a message and come back."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from scene import Scene
from shadowtutor_msgs.msg import MaskPolygons

from shadowtutor_ros.tasks.segmentation.outlines import filled, MOST_POINTS, outlines_of_mask
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.polygon_messages import outlines_of, polygons_from_mask

pytestmark = pytest.mark.ros

HEADER = header_to_msg(5, 'camera')


def sent(mask: np.ndarray, background: int) -> MaskPolygons:
    message = polygons_from_mask(mask, background, HEADER)
    return deserialize_message(serialize_message(message), MaskPolygons)


def test_outlines_come_back(scene: Scene) -> None:
    ring = np.full((60, 80), 8, np.uint8)
    ring[10:50, 20:70] = 2
    ring[20:30, 30:40] = 8
    ring[24, 34] = 0
    for mask in (ring, *scene.labels):
        message = sent(mask, 8)
        assert (message.header, message.height, message.width) == (HEADER, *mask.shape)
        assert (message.background, message.left_out) == (8, 0)
        np.testing.assert_array_equal(filled(outlines_of(message), mask.shape, 8), mask)
        expected, _ = outlines_of_mask(mask, 8)
        for back, outline in zip(outlines_of(message), expected, strict=True):
            assert (back.class_id, back.area, back.box) == (
                outline.class_id, outline.area, outline.box)
            assert [points.tolist() for points in (back.edge, *back.holes)] == [
                points.tolist() for points in (outline.edge, *outline.holes)]


def test_what_is_left_out_is_said() -> None:
    mask = np.full((400, 400), 8, np.uint8)
    mask[::2, ::2] = 1
    message = sent(mask, 8)
    assert len(message.polygons) == MOST_POINTS
    assert message.left_out == 40_000 - MOST_POINTS


def test_nothing_but_background_has_no_polygons() -> None:
    assert sent(np.full((4, 5), 3, np.uint8), 3).polygons == []
