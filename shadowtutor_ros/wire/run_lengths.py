# SPDX-License-Identifier: Apache-2.0
"""
Class ids as run lengths: exact, and a fifth of the PNG of a mask.

A mask is read row by row, on from one row's end to the next one's beginning. Behind its height,
its width and the number of its runs, little-endian and of 32 bits, comes one zlib stream: the
values of all runs, then the lowest bytes of their lengths, the second, the third and the highest.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.wire.errors import BadImage

_HEAD = struct.Struct('<III')
_PLANES = 5  # of a byte for each run: its value and the four of its length


def encode_runs(mask: NDArray[np.uint8]) -> bytes:
    """Return the run lengths of HxW class ids with H, W >= 1."""
    ids = mask.ravel()
    begins = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    lengths = np.diff(begins, append=ids.size).astype('<u4')
    planes = np.vstack([ids[begins], lengths.view(np.uint8).reshape(-1, 4).T])
    return _HEAD.pack(*mask.shape, len(begins)) + zlib.compress(planes.tobytes())


def decode_runs(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """
    Return the HxW class ids of ``encode_runs``, writable.

    Raise BadImage for damaged data and for more than ``max_pixels``, before anything is allocated
    for them.
    """
    if len(data) < _HEAD.size:
        raise BadImage(f'run lengths: expected {_HEAD.size} bytes or more, got {len(data)}')
    height, width, count = _HEAD.unpack_from(data)
    if not 1 <= height * width <= max_pixels:
        raise BadImage(f'mask of {height}x{width}: expected 1 to {max_pixels} pixels')
    if not 1 <= count <= height * width:
        raise BadImage(f'mask of {height}x{width}: expected 1 to {height * width} runs, '
                       f'got {count}')
    planes = np.frombuffer(_unpacked(data[_HEAD.size:], _PLANES * count), np.uint8)
    values, *parts = planes.reshape(_PLANES, count)
    lengths = np.stack(parts, 1).view('<u4')[:, 0]
    if (total := int(lengths.sum(dtype=np.uint64))) != height * width:
        raise BadImage(f'mask of {height}x{width}: expected runs of {height * width} pixels, '
                       f'got {total}')
    return np.repeat(values, lengths).reshape(height, width)


def _unpacked(data: bytes, size: int) -> bytes:
    """Return the ``size`` bytes of a zlib stream; raise BadImage for another stream."""
    stream = zlib.decompressobj()
    try:
        unpacked = stream.decompress(data, size + 1)
    except zlib.error as error:
        raise BadImage(f'run lengths: {error}') from error
    if len(unpacked) != size or not stream.eof:
        raise BadImage(f'run lengths: expected {size} bytes and an end, got {len(unpacked)}')
    return unpacked
