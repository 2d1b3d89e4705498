# SPDX-License-Identifier: Apache-2.0
"""Class ids from PNGs: grey values, or indices of a palette, as they are stored."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.picture.header import BadHeader, check_png_pixels, png_size

_GREY, _PALETTE = 0, 3
_KINDS = {2: 'RGB', 4: 'grey and alpha', 6: 'RGB and alpha'}
_HEADER = 33  # bytes of signature and IHDR
_NEEDED = (b'IDAT', b'IEND')


def decode_label_png(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """
    Return the HxW class ids in a PNG of one channel or with a palette, of any bit depth.

    Raise BadHeader for damaged data, more than ``max_pixels``, another kind of PNG, or an id that
    needs more than 8 bits.
    """
    height, width = png_size(data)
    if not 1 <= height * width <= max_pixels:
        raise BadHeader(f'expected at most {max_pixels} pixels, got {height}x{width}')
    check_png_pixels(data)
    depth, kind = data[24], data[25]
    if kind not in (_GREY, _PALETTE):
        raise BadHeader('expected a PNG of class ids, one channel or a palette, '
                        f'got {_KINDS.get(kind, "another kind")}')
    pixels = cv2.imdecode(np.frombuffer(_as_grey(data), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2:
        raise BadHeader(f'PNG of {len(data)} bytes cannot be decoded')
    if depth < 8:  # OpenCV stretches them to 0-255
        pixels = pixels // (255 // ((1 << depth) - 1))
    if pixels.max() > 255:
        raise BadHeader(f'expected class ids of 8 bits, got {pixels.max()}')
    return pixels.astype(np.uint8)


def _as_grey(data: bytes) -> bytes:
    """Return the PNG without palette and transparency: its indices are then the grey values."""
    header = data[12:25] + bytes((_GREY,)) + data[26:29]
    parts = [data[:12], header, struct.pack('>I', zlib.crc32(header))]
    at = _HEADER
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at:at + 4], 'big')
        if data[at + 4:at + 8] in _NEEDED:
            parts.append(data[at:end])
        if data[at + 4:at + 8] == b'IEND':
            break
        at = end
    return b''.join(parts)
