# SPDX-License-Identifier: Apache-2.0
"""JPEG, PNG and WebP to pixels: whole and as they are stored, or refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.picture.header import (
    BadHeader,
    check_png_pixels,
    jpeg_last_scan,
    jpeg_size,
    JpegScan,
    png_size,
    webp_size,
)

WEBP = 'webp'
JPEG = 'jpeg'
PNG = 'png'

Pixels = NDArray[np.uint8]  # HxWx3, BGR

# An orientation in EXIF would turn the pixels away from camera_info and label maps.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION

FILE_PIXELS = 1 << 26  # of an image file: beyond any camera
_FILLING = 128  # in all channels: what libjpeg shows where data is missing
_END_OF_IMAGE = b'\xff\xd9'


@dataclass(frozen=True)
class PictureFormat:
    """
    How pictures of a format begin, their height and width, and their pixels.

    ``size`` and ``decode`` raise BadHeader for damaged data.
    """

    begins: bytes
    size: Callable[[bytes], tuple[int, int]]
    decode: Callable[[bytes], Pixels]


def format_of(data: bytes) -> str | None:
    """Return which of PICTURE_FORMATS the data begins like, None for none of them."""
    return next((name for name, each in PICTURE_FORMATS.items()
                 if data.startswith(each.begins)), None)


def decode_picture(name: str, data: bytes) -> Pixels:
    """
    Return the BGR uint8 HxWx3 pixels of a picture of the format ``name``, as they are stored.

    Raise BadHeader for damaged data: a picture is whole or there is none. In a JPEG that is whole
    a wrong bit cannot be seen. Bytes behind a picture's end are not looked at.
    """
    return PICTURE_FORMATS[name].decode(data)


def decode_image_file(data: bytes, max_pixels: int = FILE_PIXELS) -> Pixels:
    """
    Return the BGR uint8 HxWx3 pixels of any image that OpenCV reads, as they are stored.

    Raise BadHeader for damaged data, JPEGs as in ``decode_picture``, and for a JPEG or PNG of
    more than ``max_pixels``.
    """
    name = format_of(data)
    if name is None or name == WEBP:
        return _decode('image', data)
    height, width = PICTURE_FORMATS[name].size(data)
    if height * width > max_pixels:
        raise BadHeader(f'expected at most {max_pixels} pixels, got {height}x{width}')
    return decode_picture(name, data)


def _png(data: bytes) -> Pixels:
    check_png_pixels(data)
    return _decode(PNG, data)


def _webp(data: bytes) -> Pixels:
    return _decode(WEBP, data)


def jpeg_whole_scan(data: bytes) -> JpegScan:
    """Return a JPEG's last scan; raise BadHeader when there is none, or no end after it."""
    scan = jpeg_last_scan(data)
    if data.rfind(_END_OF_IMAGE) < scan.start:
        raise BadHeader(f'JPEG of {len(data)} bytes is truncated: no end marker')
    return scan


def _jpeg(data: bytes) -> Pixels:
    """Refuse what is cut: OpenCV fills in what is missing with grey and does not tell."""
    scan = jpeg_whole_scan(data)
    frame = _decode(JPEG, data)
    if scan.progressive or (frame[-1, -1] == _FILLING).all():
        # More data in a scan changes nothing if it was complete.
        longer = data[:scan.end] + data[scan.start:scan.end] + _END_OF_IMAGE
        if not np.array_equal(_decode(JPEG, longer), frame):
            raise BadHeader(f'JPEG of {len(data)} bytes is truncated: it ends before its last row')
    return frame


def _decode(name: str, data: bytes) -> Pixels:
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), _AS_STORED)
    except cv2.error as error:
        raise BadHeader(f'{name} cannot be decoded: {error}') from error
    if frame is None:
        raise BadHeader(f'{name} of {len(data)} bytes cannot be decoded')
    return np.asarray(frame, dtype=np.uint8)


PICTURE_FORMATS: Mapping[str, PictureFormat] = {
    WEBP: PictureFormat(b'RIFF', webp_size, _webp),
    JPEG: PictureFormat(b'\xff\xd8', jpeg_size, _jpeg),
    PNG: PictureFormat(b'\x89PNG\r\n\x1a\n', png_size, _png)}
