# SPDX-License-Identifier: Apache-2.0
"""Arrays become image messages that others read."""

import numpy as np
import pytest

from shadowtutor_ros.wire.images import compressed_from_array, image_from_array
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.pixels import class_ids_of, compressed_to_bgr, image_to_bgr

pytestmark = pytest.mark.ros

BGR = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
HEADER = header_to_msg(5, 'camera')


@pytest.mark.parametrize(('encoding', 'pixels'), [
    ('bgr8', BGR), ('rgb8', np.ascontiguousarray(BGR[..., ::-1]))])
def test_pixels_come_back(encoding: str, pixels: np.ndarray) -> None:
    msg = image_from_array(pixels, encoding, HEADER)
    assert (msg.header, msg.height, msg.width, msg.step) == (HEADER, 4, 6, 18)
    np.testing.assert_array_equal(image_to_bgr(msg), BGR)


def test_class_ids_come_back() -> None:
    msg = image_from_array(BGR[..., 0], 'mono8', HEADER)
    np.testing.assert_array_equal(class_ids_of(msg), BGR[..., 0])


def test_a_compressed_image_is_called_as_image_transport_calls_it() -> None:
    msg = compressed_from_array(BGR, 'png', HEADER)
    assert msg.format == 'bgr8; png compressed bgr8'
    np.testing.assert_array_equal(compressed_to_bgr(msg), BGR)
    mask = compressed_from_array(BGR[..., 0], 'png', HEADER)
    assert mask.format == 'mono8; png compressed mono8'
    np.testing.assert_array_equal(compressed_to_bgr(mask)[..., 0], BGR[..., 0])
