# SPDX-License-Identifier: Apache-2.0
from array import array

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.images import compressed_to_bgr, image_from_array, image_to_bgr
from shadowtutor_ros.wire.messages import header_to_msg

pytestmark = pytest.mark.ros

BGR = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
GREY = BGR[..., 0]
HEADER = header_to_msg(5, 'camera')


@pytest.mark.parametrize(('encoding', 'pixels', 'expected'), [
    ('bgr8', BGR, BGR),
    ('rgb8', BGR[..., ::-1], BGR),
    ('bgra8', cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA), BGR),
    ('rgba8', cv2.cvtColor(BGR, cv2.COLOR_BGR2RGBA), BGR),
    ('mono8', GREY, np.repeat(GREY[..., None], 3, 2)),
    ('yuv422', BGR[..., :2], cv2.cvtColor(BGR[..., :2], cv2.COLOR_YUV2BGR_UYVY)),
    ('yuv422_yuy2', BGR[..., :2], cv2.cvtColor(BGR[..., :2], cv2.COLOR_YUV2BGR_YUY2)),
])
@pytest.mark.parametrize('padding', [0, 5])
def test_every_encoding_with_and_without_row_padding(
    encoding: str, pixels: np.ndarray, expected: np.ndarray, padding: int,
) -> None:
    msg = image_from_array(np.ascontiguousarray(pixels), encoding, HEADER)
    rows = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)
    msg.step += padding
    msg.data = array('B', np.pad(rows, ((0, 0), (0, padding))).tobytes())
    np.testing.assert_array_equal(image_to_bgr(msg), expected)


@pytest.mark.parametrize(('fields', 'message'), [
    ({'encoding': '32FC1'}, "encoding: expected one of bgr8, .* got '32FC1'"),
    ({'height': 0}, 'image of 0x6 has no pixels'),
    ({'width': 0, 'step': 0}, 'image of 4x0 has no pixels'),
    ({'height': 5}, 'expected rows of 18 bytes or more and 90 bytes, got rows of 18 and 72'),
    ({'step': 3}, 'got rows of 3'),
    ({'encoding': 'yuv422', 'width': 5}, 'expected an even width, got 5'),
])
def test_a_bad_image_is_named(fields: dict[str, object], message: str) -> None:
    msg: Image = image_from_array(BGR, 'bgr8', HEADER)
    for name, value in fields.items():
        setattr(msg, name, value)
    with pytest.raises(BadImage, match=message):
        image_to_bgr(msg)


def compressed(format_: str, data: bytes) -> CompressedImage:
    return CompressedImage(header=HEADER, format=format_, data=array('B', data))


@pytest.mark.parametrize('format_', ['png', 'PNG', 'bgr8; png compressed bgr8'])
def test_png_is_exact(format_: str) -> None:
    data = cv2.imencode('.png', BGR)[1].tobytes()
    np.testing.assert_array_equal(compressed_to_bgr(compressed(format_, data)), BGR)


@pytest.mark.parametrize('format_', ['jpeg', 'jpg', 'rgb8; jpeg compressed bgr8'])
def test_jpeg_is_close(format_: str) -> None:
    smooth = np.full((16, 16, 3), 90, np.uint8)
    data = cv2.imencode('.jpg', smooth)[1].tobytes()
    assert np.abs(compressed_to_bgr(compressed(format_, data)).astype(int) - 90).max() < 4


@pytest.mark.parametrize(('format_', 'data', 'message'), [
    ('h264', b'', "expected jpeg or png, got 'h264'"),
    ('jpeg', b'', '0 bytes begin with nothing'),
    ('png', b'GIF89a', '6 bytes begin with 47494638'),
])
def test_a_bad_compressed_image_is_named(format_: str, data: bytes, message: str) -> None:
    with pytest.raises(BadImage, match=message):
        compressed_to_bgr(compressed(format_, data))
