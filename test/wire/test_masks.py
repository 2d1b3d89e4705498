# SPDX-License-Identifier: Apache-2.0
"""A mask is the same from whichever topic it is read."""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from scene import Scene
from sensor_msgs.msg import CompressedImage

from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.images import compressed_from_array, image_from_array, runs_from_mask
from shadowtutor_ros.wire.masks import mask_of
from shadowtutor_ros.wire.messages import header_to_msg

pytestmark = pytest.mark.ros

HEADER = header_to_msg(5, 'camera')


def test_every_form_of_a_mask_is_read(scene: Scene) -> None:
    for mask in scene.labels:
        for msg in (image_from_array(mask, 'mono8', HEADER), runs_from_mask(mask, HEADER),
                    compressed_from_array(mask, 'png', HEADER)):
            assert msg.header == HEADER
            np.testing.assert_array_equal(mask_of(msg), mask)


@pytest.mark.parametrize('form', ['raw', 'png', 'rle'])
def test_the_limit_counts_pixels(form: str) -> None:
    mask = np.zeros((4, 6), np.uint8)
    msg = {'raw': lambda: image_from_array(mask, 'mono8', HEADER),
           'png': lambda: compressed_from_array(mask, 'png', HEADER),
           'rle': lambda: runs_from_mask(mask, HEADER)}[form]()
    assert mask_of(msg, 24).shape == (4, 6)
    with pytest.raises(BadImage, match='23 pixels'):
        mask_of(msg, 23)


@pytest.mark.parametrize(('format_', 'data', 'error'), [
    ('mono8; rle compressed mono8', b'short', 'run lengths: expected 12 bytes or more, got 5'),
    ('bgr8; jpeg compressed bgr8', b'\xff\xd8', "format 'bgr8; jpeg compressed bgr8'"),
    ('', b'', "mask of the format ''")])
def test_what_is_no_mask_is_named(format_: str, data: bytes, error: str) -> None:
    with pytest.raises(BadImage, match=error):
        mask_of(CompressedImage(format=format_, data=array('B', data)))


def test_an_image_of_another_encoding_is_no_mask() -> None:
    with pytest.raises(BadImage, match="expected the encoding mono8, got 'bgr8'"):
        mask_of(image_from_array(np.zeros((4, 6, 3), np.uint8), 'bgr8', HEADER))
