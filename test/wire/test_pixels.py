# SPDX-License-Identifier: Apache-2.0
"""Recorded messages and those of a running ROS become the same pixels."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, replace
import io
from typing import Any

import cv2
import numpy as np
from PIL import Image
import pytest

from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.pixels import (
    class_ids_of,
    compressed_picture,
    compressed_to_bgr,
    image_to_bgr,
)

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
    is_bigendian: int = 0


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
    ('8UC1', GREY, np.repeat(GREY[..., None], 3, 2)),
    ('8UC3', BGR, BGR),
    ('8UC4', cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA), BGR),
    ('yuv422', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_UYVY)),
    ('uyvy', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_UYVY)),
    ('yuv422_yuy2', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_YUY2)),
    ('yuyv', YUV, cv2.cvtColor(YUV, cv2.COLOR_YUV2BGR_YUY2)),
])
@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('is_bigendian', [0, 1])
def test_every_encoding_with_and_without_row_padding(
    encoding: str, pixels: np.ndarray, expected: np.ndarray, padding: int,
    field: Callable[[np.ndarray], Any], is_bigendian: int,
) -> None:
    msg = replace(message(pixels, encoding, padding), is_bigendian=is_bigendian)
    bgr = image_to_bgr(replace(msg, data=field(msg.data)))
    np.testing.assert_array_equal(bgr, expected)
    assert bgr.dtype == np.uint8
    assert bgr.flags.c_contiguous
    assert bgr.flags.writeable  # torch warns of what is not


@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize(('encoding', 'to_bgr'), [
    ('bgr16', None), ('rgb16', cv2.COLOR_RGB2BGR), ('bgra16', cv2.COLOR_BGRA2BGR),
    ('rgba16', cv2.COLOR_RGBA2BGR), ('mono16', cv2.COLOR_GRAY2BGR)])
@pytest.mark.parametrize('padding', [0, 6])
def test_of_16_bits_the_order_of_bytes_counts(
    encoding: str, to_bgr: int | None, padding: int, is_bigendian: int,
) -> None:
    channels = {'m': 1}.get(encoding[0], len(encoding) - 2)
    wide = np.random.default_rng(0).integers(0, 1 << 16, (4, 6, channels), np.uint16)
    narrow = np.rint(wide / 257).astype(np.uint8)
    expected = narrow if to_bgr is None else cv2.cvtColor(narrow, to_bgr)
    raw = np.ascontiguousarray(wide.astype('>u2' if is_bigendian else '<u2')).view(np.uint8)
    msg = replace(message(raw, encoding, padding), width=6, is_bigendian=is_bigendian)
    np.testing.assert_array_equal(image_to_bgr(msg), expected)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize(('order', 'red', 'blue'), [
    ('rggb', (0, 0), (1, 1)), ('bggr', (1, 1), (0, 0)),
    ('gbrg', (1, 0), (0, 1)), ('grbg', (0, 1), (1, 0))])
def test_a_bayer_pattern_is_named_by_its_first_four_pixels(
    order: str, red: tuple[int, int], blue: tuple[int, int], bits: int,
) -> None:
    mosaic = np.full((8, 8), 100, np.uint8)  # all of one colour: red 200, green 100, blue 30
    mosaic[red[0]::2, red[1]::2] = 200
    mosaic[blue[0]::2, blue[1]::2] = 30
    if bits == 16:
        mosaic = (mosaic.astype('<u2') * 257)[..., None].view(np.uint8)
    msg = replace(message(mosaic, f'bayer_{order}{bits}'), width=8)
    np.testing.assert_array_equal(image_to_bgr(msg), np.full((8, 8, 3), (30, 100, 200)))


@pytest.mark.parametrize('shape', [(1, 6), (6, 1), (1, 1)])
def test_a_bayer_image_without_a_whole_pattern_is_named(shape: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match=f'2x2 pixels or more, got {shape[0]}x{shape[1]}'):
        image_to_bgr(message(np.zeros(shape, np.uint8), 'bayer_rggb8'))


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


FORMATS = ['', 'jpeg', 'png', 'PNG', 'jpg', 'mjpeg', 'bgr8', 'h264', 'image/jpeg',
           'bgr8; png compressed bgr8', 'rgb8; jpeg compressed bgr8', 'bgr8; jpeg compressed bgr8',
           'mono8; jpeg compressed ', 'rgb8; jpeg compressed ', 'rgb8; jpeg',
           'bayer_rggb8; jpeg compressed rgb8',
           'yuv422_yuy2; jpeg compressed bgr8', 'bayer_rggb8; jpeg']


@pytest.mark.parametrize('format_', FORMATS)
@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.webp'])
def test_the_content_says_what_it_is_whatever_the_format_says(format_: str, suffix: str) -> None:
    colour = np.full((16, 16, 3), (30, 100, 200), np.uint8)
    data = cv2.imencode(suffix, colour, [cv2.IMWRITE_WEBP_QUALITY, 90])[1].tobytes()
    seen = compressed_to_bgr(Compressed(format_, array('B', data)))
    assert np.abs(seen.astype(int) - colour).max() < 6


@pytest.mark.parametrize('format_', [
    'rgb8; jpeg compressed rgb8', 'bgr8; jpeg compressed rgb8', 'rgba8; png compressed rgb8',
    'rgb16; png compressed rgb16'])
def test_colours_are_in_the_order_that_compressed_image_transport_reads(format_: str) -> None:
    data = array('B', cv2.imencode('.png', BGR)[1].tobytes())
    seen = compressed_to_bgr(Compressed(format_, data))
    np.testing.assert_array_equal(seen, BGR[..., ::-1])
    assert seen.flags.c_contiguous
    assert seen.flags.writeable


@pytest.mark.parametrize('format_', ['', 'jpeg', 'h264', '16UC1; compressedDepth png'])
@pytest.mark.parametrize('data', [b'', b'abc', b'GIF89a', bytes(12) + b'\x89PNG\r\n\x1a\n'])
def test_a_bad_compressed_image_is_named(format_: str, data: bytes) -> None:
    with pytest.raises(BadImage, match='compressed image: expected webp, jpeg, png, got '
                       f'{len(data)} bytes that begin with {data[:4].hex() or "nothing"}, '
                       f'format {format_!r}'):
        compressed_to_bgr(Compressed(format_, data))


def test_a_damaged_compressed_image_is_no_key_frame() -> None:
    data = cv2.imencode('.png', BGR)[1].tobytes()
    with pytest.raises(BadImage, match=r'^compressed image: PNG of \d+ bytes is truncated'):
        compressed_to_bgr(Compressed('png', data[:-20]))


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_pixels_stay_as_they_are_stored_whatever_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain, turned = io.BytesIO(), io.BytesIO()
    picture = Image.fromarray(np.repeat(np.repeat(BGR, 8, 0), 8, 1))
    picture.save(plain, kind)
    picture.save(turned, kind, exif=exif)
    np.testing.assert_array_equal(compressed_to_bgr(Compressed(kind, turned.getvalue())),
                                  compressed_to_bgr(Compressed(kind, plain.getvalue())))


def test_a_compressed_image_is_counted_before_it_is_decoded() -> None:
    image = Compressed('png', cv2.imencode('.png', BGR)[1].tobytes())
    with pytest.raises(BadImage, match='4x6: expected 1 to 23 pixels'):
        compressed_to_bgr(image, 23)


NOISE = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
JPEG = cv2.imencode('.jpg', NOISE)[1].tobytes()


@pytest.mark.parametrize(('format_', 'data', 'goes_on'), [
    ('jpeg', JPEG, True),
    ('rgb8; jpeg compressed bgr8', JPEG, True),
    ('rgb8; jpeg compressed rgb8', JPEG, False),  # it would be read with red and blue exchanged
    ('jpeg', cv2.imencode('.jpg', NOISE, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(), False),
    ('png', cv2.imencode('.png', NOISE)[1].tobytes(), False)])
def test_a_jpeg_can_go_on_as_it_came(format_: str, data: bytes, goes_on: bool) -> None:
    picture = compressed_picture(Compressed(format_, array('B', data)))
    assert picture.size == (64, 64)
    assert picture.jpeg == (data if goes_on else None)
    np.testing.assert_array_equal(picture.frame(), compressed_to_bgr(Compressed(format_, data)))
    assert picture.frame() is picture.frame()


def test_what_the_end_of_a_jpeg_shows_is_seen_before_it_is_decoded() -> None:
    with pytest.raises(BadImage, match='is truncated: no end marker'):
        compressed_picture(Compressed('jpeg', JPEG[:-20]))
    picture = compressed_picture(Compressed('jpeg', JPEG[:len(JPEG) // 2] + JPEG[-2:]))
    for _ in range(2):
        with pytest.raises(BadImage, match='it ends before its last row'):
            picture.frame()
