# SPDX-License-Identifier: Apache-2.0
"""Key-frame codec: WebP, JPEG, PNG or raw BGR pixels; another is one class and one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import re
from typing import Protocol

import cv2
import numpy as np

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.picture.decode import decode_picture, JPEG as JPEG, PNG as PNG, WEBP as WEBP
from shadowtutor_ros.picture.header import BadHeader, jpeg_size, png_size, webp_size
from shadowtutor_ros.wire.errors import BadKeyFrame

RAW = 'raw'

# What is decoded at most: 4096x2160 (4K) has 8,847,360. Training takes memory and time with it.
MAX_PIXELS = 9_000_000


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as it travels: ``format`` as in Distill.action, ``data`` the bytes."""

    format: str
    data: bytes


class FrameFormat(Protocol):
    """One way in which frames travel; only ``lossy`` ones have a quality."""

    lossy: bool

    def reads(self, format: str) -> bool:
        """Say whether ``format``, as in Distill.action, is this one."""

    def encode(self, frame: Frame, quality: int) -> EncodedFrame:
        """Encode a BGR uint8 HxWx3 frame; raise BadKeyFrame when the format cannot hold it."""

    def size(self, encoded: EncodedFrame) -> tuple[int, int]:
        """Return height and width without decoding; raise BadHeader for damaged data."""

    def decode(self, encoded: EncodedFrame) -> Frame:
        """Return the BGR uint8 HxWx3 frame; raise BadKeyFrame or BadHeader for damaged data."""


class Webp:
    """Lossy, by ``quality`` 1-100: what a JPEG shows, in fewer bytes and more time."""

    lossy = True

    def reads(self, format: str) -> bool:
        return format == WEBP

    def encode(self, frame: Frame, quality: int) -> EncodedFrame:
        return _imencode(WEBP, frame, [cv2.IMWRITE_WEBP_QUALITY, quality])

    def size(self, encoded: EncodedFrame) -> tuple[int, int]:
        return webp_size(encoded.data)

    def decode(self, encoded: EncodedFrame) -> Frame:
        return decode_picture(WEBP, encoded.data)


class Jpeg:
    """Lossy, by ``quality`` 1-100."""

    lossy = True

    def reads(self, format: str) -> bool:
        return format == JPEG

    def encode(self, frame: Frame, quality: int) -> EncodedFrame:
        return _imencode(JPEG, frame, [cv2.IMWRITE_JPEG_QUALITY, quality])

    def size(self, encoded: EncodedFrame) -> tuple[int, int]:
        return jpeg_size(encoded.data)

    def decode(self, encoded: EncodedFrame) -> Frame:
        return decode_picture(JPEG, encoded.data)


class Png:
    """Lossless."""

    lossy = False

    def reads(self, format: str) -> bool:
        return format == PNG

    def encode(self, frame: Frame, quality: int) -> EncodedFrame:
        # Level 1: key frames are sparse, but the camera thread should not wait for the best.
        return _imencode(PNG, frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])

    def size(self, encoded: EncodedFrame) -> tuple[int, int]:
        return png_size(encoded.data)

    def decode(self, encoded: EncodedFrame) -> Frame:
        return decode_picture(PNG, encoded.data)


class Raw:
    """The pixels as they are, their size in the format."""

    lossy = False
    _format = re.compile(r'raw; bgr8; (\d{1,6})x(\d{1,6})')

    def reads(self, format: str) -> bool:
        return self._format.fullmatch(format) is not None

    def encode(self, frame: Frame, quality: int) -> EncodedFrame:
        return EncodedFrame(f'raw; bgr8; {frame.shape[0]}x{frame.shape[1]}', frame.tobytes())

    def size(self, encoded: EncodedFrame) -> tuple[int, int]:
        match = self._format.fullmatch(encoded.format)
        assert match is not None
        return int(match[1]), int(match[2])

    def decode(self, encoded: EncodedFrame) -> Frame:
        height, width = self.size(encoded)
        if len(encoded.data) != height * width * 3:
            raise BadKeyFrame(f'raw key frame {height}x{width}: expected {height * width * 3} '
                              f'bytes, got {len(encoded.data)}')
        return np.frombuffer(encoded.data, np.uint8).reshape(height, width, 3).copy()


FRAME_FORMATS: Mapping[str, FrameFormat] = {
    WEBP: Webp(), JPEG: Jpeg(), PNG: Png(), RAW: Raw()}


def encode_frame(frame: Frame, format: str, quality: int = 80) -> EncodedFrame:
    """
    Encode a BGR uint8 HxWx3 frame as one of FRAME_FORMATS.

    ``quality`` is that of lossy formats, 1-100. Raise ValueError for an unknown format,
    BadKeyFrame for a side longer than the format can hold (65,500 pixels in JPEG, 16,383 in
    WebP).
    """
    if format not in FRAME_FORMATS:
        raise ValueError(f'key-frame format: expected one of {tuple(FRAME_FORMATS)}, '
                         f'got {format!r}')
    return FRAME_FORMATS[format].encode(frame, quality)


def decode_frame(encoded: EncodedFrame, max_pixels: int = MAX_PIXELS) -> Frame:
    """
    Return the BGR uint8 HxWx3 frame.

    Raise BadKeyFrame for an unknown format, truncated data or more than ``max_pixels``, which
    are counted in the header, before anything is allocated for them.
    """
    format = next((f for f in FRAME_FORMATS.values() if f.reads(encoded.format)), None)
    if format is None:
        raise BadKeyFrame(f'key-frame format: expected one of {", ".join(FRAME_FORMATS)}, '
                          f'got {encoded.format!r}')
    try:
        height, width = format.size(encoded)
        if not 1 <= height * width <= max_pixels:
            raise BadKeyFrame(f'key frame of {height}x{width}: expected 1 to {max_pixels} pixels')
        return format.decode(encoded)
    except BadHeader as error:
        raise BadKeyFrame(f'key frame: {error}') from error


def _imencode(name: str, frame: Frame, settings: list[int]) -> EncodedFrame:
    good, data = cv2.imencode(f'.{name}', frame, settings)
    if not good:
        raise BadKeyFrame(f'{name} cannot hold an image of {frame.shape[0]}x{frame.shape[1]}')
    return EncodedFrame(name, data.tobytes())
