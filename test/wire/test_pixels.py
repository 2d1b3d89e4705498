# SPDX-License-Identifier: Apache-2.0
"""Recorded messages and those of a running ROS become the same pixels."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest

from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.pixels import class_ids_of, compressed_to_bgr, image_to_bgr

BGR = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
GREY = BGR[..., 0]
YUV = BGR[..., :2]


@dataclass
class Message:
    """What of an image message is read."""

    encoding: str
    height: int
    width: int
    step: int
    data: Any


@dataclass
class Compressed:
    format: str
    data: Any


def message(pixels: np.ndarray, encoding: str, padding: int = 0) -> Message:
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return Message(encoding, height, width, rows.shape[1], rows.ravel())


def read_only(data: np.ndarray) -> np.ndarray:
    data.setflags(write=False)
    return data


@pytest.mark.parametrize('field', [
    lambda data: array('B', data.tobytes()), lambda data: data.tobytes(), read_only,
], ids=['rclpy', 'bytes', 'rosbags'])
@pytest.mark.parametrize(('encoding', 'pixels', 'expected'), [
    ('bgr8', BGR, BGR),
    ('rgb8', BGR[..., ::-1], BGR),
    ('bgra8', cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA), BGR),
    ('rgba8', cv2.cvtColor(BGR, cv2.COLOR_BGR2RGBA), BGR),
    ('mono8', GREY, np.repeat(GREY[..., None], 3, 2)),
    ('yuv422', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_UYVY)),
    ('uyvy', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_UYVY)),
    ('yuv422_yuy2', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_YUY2)),
    ('yuyv', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_YUY2)),
])
@pytest.mark.parametrize('padding', [0, 5])
def test_every_encoding_with_and_without_row_padding(
    encoding: str, pixels: np.ndarray, expected: np.ndarray, padding: int,
    field: Callable[[np.ndarray], Any],
) -> None:
    msg = message(pixels, encoding, padding)
    bgr = image_to_bgr(replace(msg, data=field(msg.data)))
    np.testing.assert_array_equal(bgr, expected)
    assert bgr.dtype == np.uint8
    assert bgr.flags.c_contiguous
    assert bgr.flags.writeable  # torch warns of what is not


@pytest.mark.parametrize(('fields', 'error'), [
    ({'encoding': '32FC1'}, "encoding: expected one of bgr8, .* got '32FC1'"),
    ({'height': 0}, 'image of 0x6: expected 1 to 9000000 pixels'),
    ({'width': 0, 'step': 0}, 'image of 4x0: expected 1 to'),
    ({'height': 5}, 'expected rows of 18 bytes or more and 90 bytes, got rows of 18 and 72'),
    ({'step': 3}, 'got rows of 3'),
    ({'encoding': 'yuv422', 'width': 5}, 'expected an even width, got 5'),
    ({'height': 3000, 'width': 3001, 'step': 9003}, 'image of 3000x3001: expected 1 to'),
    ({'height': 2**32 - 1, 'width': 2**32 - 1, 'step': 2**32 - 1}, 'expected 1 to'),
])
def test_a_bad_image_is_named(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(BadImage, match=error):
        image_to_bgr(replace(message(BGR, 'bgr8'), **fields))


def test_the_limit_counts_pixels() -> None:
    msg = message(BGR, 'bgr8')
    assert image_to_bgr(msg, 24).shape == (4, 6, 3)
    with pytest.raises(BadImage, match='4x6: expected 1 to 23 pixels'):
        image_to_bgr(msg, 23)


@pytest.mark.parametrize('padding', [0, 3])
def test_class_ids_are_the_pixels_of_mono8(padding: int) -> None:
    ids = class_ids_of(message(GREY, 'mono8', padding))
    np.testing.assert_array_equal(ids, GREY)
    with pytest.raises(BadImage, match="expected the encoding mono8, got 'bgr8'"):
        class_ids_of(message(BGR, 'bgr8'))
    with pytest.raises(BadImage, match='expected 1 to 23 pixels'):
        class_ids_of(message(GREY, 'mono8'), 23)


@pytest.mark.parametrize('format_', ['png', 'PNG', 'bgr8; png compressed bgr8'])
def test_png_is_exact(format_: str) -> None:
    data = array('B', cv2.imencode('.png', BGR)[1].tobytes())
    np.testing.assert_array_equal(compressed_to_bgr(Compressed(format_, data)), BGR)


@pytest.mark.parametrize('format_', ['jpeg', 'jpg', 'rgb8; jpeg compressed bgr8'])
def test_jpeg_is_close(format_: str) -> None:
    data = array('B', cv2.imencode('.jpg', np.full((16, 16, 3), 90, np.uint8))[1].tobytes())
    assert np.abs(compressed_to_bgr(Compressed(format_, data)).astype(int) - 90).max() < 4


@pytest.mark.parametrize(('format_', 'data', 'error'), [
    ('h264', b'', "expected jpeg or png, got 'h264'"),
    ('raw; bgr8; 1x1', b'abc', 'expected jpeg or png'),
    ('jpeg', b'', 'expected jpeg, got 0 bytes that begin with nothing'),
    ('png', b'GIF89a', 'expected png, got 6 bytes that begin with 47494638'),
])
def test_a_bad_compressed_image_is_named(format_: str, data: bytes, error: str) -> None:
    with pytest.raises(BadImage, match=error):
        compressed_to_bgr(Compressed(format_, data))


def test_a_compressed_image_is_counted_before_it_is_decoded() -> None:
    image = Compressed('png', cv2.imencode('.png', BGR)[1].tobytes())
    with pytest.raises(BadImage, match='4x6: expected 1 to 23 pixels'):
        compressed_to_bgr(image, 23)
