# SPDX-License-Identifier: Apache-2.0
"""Key-frame codec: JPEG, PNG or raw BGR pixels."""

from __future__ import annotations

from dataclasses import dataclass
import io
import re

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shadowtutor_ros.wire.errors import BadKeyFrame

JPEG = 'jpeg'
PNG = 'png'
RAW = 'raw'
FORMATS = (JPEG, PNG, RAW)

MAX_PIXELS = 1 << 26  # 67 megapixels: beyond any camera, small enough to allocate

_RAW_FORMAT = re.compile(r'raw; bgr8; (\d{1,6})x(\d{1,6})')


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as it travels: ``format`` as in Distill.action, ``data`` the bytes."""

    format: str
    data: bytes


def encode_frame(frame: NDArray[np.uint8], format: str, quality: int = 85) -> EncodedFrame:
    """
    Encode a BGR uint8 HxWx3 frame.

    ``quality`` is JPEG's, 1-100. Raise ValueError for an unknown format, or a side longer than
    the format can hold (65,500 pixels in JPEG).
    """
    if format == RAW:
        height, width = frame.shape[:2]
        return EncodedFrame(f'raw; bgr8; {height}x{width}', frame.tobytes())
    if format == JPEG:
        good, data = cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
    elif format == PNG:
        # Level 1: key frames are sparse, but the camera thread should not wait for the best.
        good, data = cv2.imencode('.png', frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    else:
        raise ValueError(f'key-frame format: expected one of {FORMATS}, got {format!r}')
    if not good:
        raise ValueError(f'{format} cannot hold an image of {frame.shape[0]}x{frame.shape[1]}')
    return EncodedFrame(format, data.tobytes())


def decode_frame(encoded: EncodedFrame) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 frame.

    Raise BadKeyFrame for an unknown format, truncated data or more than MAX_PIXELS.
    """
    if match := _RAW_FORMAT.fullmatch(encoded.format):
        return _decode_raw(encoded.data, int(match[1]), int(match[2]))
    if encoded.format not in (JPEG, PNG):
        raise BadKeyFrame(f'key-frame format: expected jpeg, png or raw, got {encoded.format!r}')
    data = encoded.data
    try:
        # Reads the header only: the size is bounded before anything is allocated.
        with Image.open(io.BytesIO(data), formats=[encoded.format]) as header:
            _check_pixels(header.height, header.width)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise BadKeyFrame(f'key frame says {encoded.format}, but its {len(data)} bytes begin '
                          f'with {data[:4].hex() or "nothing"}: {error}') from error
    if encoded.format == JPEG and not data.rstrip(b'\x00').endswith(b'\xff\xd9'):
        # OpenCV fills what is missing with grey and does not tell.
        raise BadKeyFrame(f'key frame: JPEG of {len(data)} bytes is truncated: no end marker')
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise BadKeyFrame(f'key frame: {encoded.format} cannot be decoded: {error}') from error
    if frame is None:
        raise BadKeyFrame(
            f'key frame: {encoded.format} of {len(data)} bytes cannot be decoded')
    return np.asarray(frame, dtype=np.uint8)


def _decode_raw(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    _check_pixels(height, width)
    if len(data) != height * width * 3:
        raise BadKeyFrame(f'raw key frame {height}x{width}: expected {height * width * 3} '
                          f'bytes, got {len(data)}')
    return np.frombuffer(data, np.uint8).reshape(height, width, 3).copy()


def _check_pixels(height: int, width: int) -> None:
    if not 1 <= height * width <= MAX_PIXELS:
        raise BadKeyFrame(f'key frame of {height}x{width}: expected 1 to {MAX_PIXELS} pixels')
