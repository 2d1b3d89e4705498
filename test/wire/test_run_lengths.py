# SPDX-License-Identifier: Apache-2.0
"""Masks come back from their run lengths; what is damaged is named, and never unpacked."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.run_lengths import decode_runs, encode_runs

LIMIT = 1 << 20
NOISE = np.random.default_rng(0).integers(0, 256, (37, 53), np.uint8)


def packed(height: int, width: int, count: int, planes: bytes) -> bytes:
    return struct.pack('<III', height, width, count) + zlib.compress(planes)


@pytest.mark.parametrize('mask', [
    np.zeros((1, 1), np.uint8), np.full((480, 854), 8, np.uint8), NOISE, NOISE.T, NOISE[::2, ::3],
    NOISE // 250, np.repeat(NOISE, 5, 0), np.eye(300, dtype=np.uint8),
    np.arange(300, dtype=np.uint8)[None]], ids=lambda mask: f'{mask.shape}')
def test_masks_come_back(mask: np.ndarray) -> None:
    back = decode_runs(encode_runs(mask), LIMIT)
    np.testing.assert_array_equal(back, mask)
    assert back.dtype == np.uint8
    assert back.flags.writeable


def test_the_bytes_are_as_described() -> None:
    mask = np.array([[8, 8, 8], [8, 1, 1]], np.uint8)
    assert encode_runs(mask) == packed(2, 3, 2, bytes([8, 1, 4, 2, 0, 0, 0, 0, 0, 0]))
    long = np.zeros((300, 300), np.uint8)
    long[-1, -1] = 3
    assert encode_runs(long) == packed(300, 300, 2, bytes([0, 3, *(
        (89_999 >> 8 * place & 255, 1 >> 8 * place)[run] for place in range(4)
        for run in range(2))]))


def test_masks_of_a_scene_are_smaller_than_as_png(scene: Scene) -> None:
    pngs = [len(cv2.imencode('.png', label)[1]) for label in scene.labels]
    assert np.mean([len(encode_runs(label)) for label in scene.labels]) < np.mean(pngs)


ONE = bytes([5, 6, 0, 0, 0])


@pytest.mark.parametrize(('data', 'error'), [
    (b'', 'run lengths: expected 12 bytes or more, got 0'),
    (packed(0, 0, 0, b''), 'mask of 0x0: expected 1 to 1048576 pixels'),
    (packed(1025, 1024, 1, ONE), 'mask of 1025x1024: expected 1 to 1048576 pixels'),
    (packed(2**32 - 1, 2**32 - 1, 1, ONE), 'expected 1 to 1048576 pixels'),
    (packed(2, 3, 0, b''), 'mask of 2x3: expected 1 to 6 runs, got 0'),
    (packed(2, 3, 7, 7 * ONE), 'mask of 2x3: expected 1 to 6 runs, got 7'),
    (packed(2, 4, 1, ONE), 'mask of 2x4: expected runs of 8 pixels, got 6'),
    (packed(2, 3, 2, bytes([1, 2, *(2 * [255] + 3 * [255, 255])])), 'got 8589934590'),
    (packed(2, 3, 1, ONE[:4]), 'expected 5 bytes and an end, got 4'),
    (packed(2, 3, 1, ONE + b'x'), 'expected 5 bytes and an end, got 6'),
    (packed(2, 3, 1, bytes(1 << 24)), 'expected 5 bytes and an end, got 6'),
    (packed(2, 3, 1, ONE)[:-1], 'expected 5 bytes and an end, got 5'),
    (packed(2, 3, 1, ONE)[:-1] + b'x', 'incorrect data check'),
    (packed(2, 3, 1, ONE)[:12] + b'no zlib', 'incorrect header check'),
], ids=range(14))
def test_what_is_damaged_is_named(data: bytes, error: str) -> None:
    with pytest.raises(BadImage, match=error):
        decode_runs(data, LIMIT)
