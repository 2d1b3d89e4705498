# SPDX-License-Identifier: Apache-2.0
"""Small integers, most of them 0, in few bytes."""

from __future__ import annotations

import lzma

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.wire.errors import CorruptUpdate

LARGEST = 127

# No container: sizes are known and the payload has its own checksum.
_BYTES = [{'id': lzma.FILTER_LZMA2, 'preset': 6, 'dict_size': 1 << 20, 'pb': 0}]
# What planes have in common are frequencies and hardly any sequences: searching less for those
# takes an eleventh of the time, and here no more bytes.
_PLANES = [{'id': lzma.FILTER_LZMA2, 'preset': 6, 'dict_size': 1 << 20, 'lc': 0, 'pb': 0,
            'mf': lzma.MF_BT2, 'nice_len': 8, 'depth': 1}]


class ByBytes:
    """A byte for each number."""

    @staticmethod
    def pack(numbers: NDArray[np.int8]) -> bytes:
        """Return numbers from -LARGEST to LARGEST as bytes."""
        return lzma.compress(numbers.tobytes(), lzma.FORMAT_RAW, filters=_BYTES)

    @staticmethod
    def unpack(payload: bytes, count: int) -> NDArray[np.int8]:
        """Return the ``count`` numbers in ``payload``; raise CorruptUpdate."""
        data = _decompressed(payload, count, _BYTES)
        if len(data) != count:
            raise CorruptUpdate(f'expected {count} differences, got '
                                f'{len(data) if len(data) < count else "more"}')
        return np.frombuffer(data, np.int8)


class ByPlanes:
    """A bit says whether a number is another than 0; then sizes less 1, then a bit for signs."""

    @staticmethod
    def pack(numbers: NDArray[np.int8]) -> bytes:
        """Return numbers from -LARGEST to LARGEST as bytes."""
        there = numbers != 0
        known = numbers[there]
        return lzma.compress(
            np.packbits(there).tobytes() + (np.abs(known) - 1).astype(np.uint8).tobytes()
            + np.packbits(known < 0).tobytes(), lzma.FORMAT_RAW, filters=_PLANES)

    @staticmethod
    def unpack(payload: bytes, count: int) -> NDArray[np.int8]:
        """Return the ``count`` numbers in ``payload``; raise CorruptUpdate."""
        first = _bits(count)
        data = np.frombuffer(_decompressed(payload, 2 * first + count, _PLANES), np.uint8)
        there = np.unpackbits(data[:first])[:count].astype(bool)
        known = int(there.sum())
        if len(data) != first + known + _bits(known):
            raise CorruptUpdate(f'expected {count} differences, {known} of them not 0, '
                                f'got {len(data)} bytes')
        sizes, signs = np.split(data[first:], [known])
        if known and sizes.max() >= LARGEST:
            raise CorruptUpdate(f'expected differences up to {LARGEST} steps, '
                                f'got {int(sizes.max()) + 1}')
        numbers, sizes = np.zeros(count, np.int8), (sizes + 1).astype(np.int8)
        numbers[there] = np.where(np.unpackbits(signs, count=known), -sizes, sizes)
        return numbers


def _bits(count: int) -> int:
    """Return how many bytes hold ``count`` bits."""
    return -(-count // 8)


def _decompressed(payload: bytes, most: int, filters: list[dict[str, int]]) -> bytes:
    """Return what is in the payload, up to one byte more than ``most``; raise CorruptUpdate."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters)
    try:
        return decompressor.decompress(payload, most + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise CorruptUpdate(f'payload of {len(payload)} bytes: {error}') from error
