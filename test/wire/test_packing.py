# SPDX-License-Identifier: Apache-2.0
import lzma

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest

from shadowtutor_ros.wire.errors import CorruptUpdate
from shadowtutor_ros.wire.packing import ByBytes, ByPlanes

PACKINGS = pytest.mark.parametrize('packing', [ByBytes, ByPlanes])
FILTERS = [{'id': lzma.FILTER_LZMA2, 'preset': 6, 'dict_size': 1 << 20, 'lc': 0, 'pb': 0}]


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int8)


@PACKINGS
@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.integers(-127, 127) | st.just(0), max_size=40))
def test_numbers_come_back(packing: type[ByPlanes], values: list[int]) -> None:
    assert packing.unpack(packing.pack(numbers(*values)), len(values)).tolist() == values


def test_few_others_than_0_take_few_bytes() -> None:
    """Fewer than their entropy taken one by one, and much less than as bytes."""
    random = np.random.default_rng(0)
    there = random.random(100_000) < np.repeat(random.random(100) ** 4, 1000)
    sparse = np.where(there, random.integers(-1, 2, 100_000), 0).astype(np.int8)
    assert len(ByPlanes.pack(sparse)) < 0.9 * len(ByBytes.pack(sparse))


def test_planes_mean_what_they_meant() -> None:
    payload = lzma.compress(bytes([0b1010_0110, 0b1000_0000, 0, 1, 126, 2, 0, 0b0110_1000]),
                            lzma.FORMAT_RAW, filters=FILTERS)
    assert ByPlanes.unpack(payload, 9).tolist() == [1, 0, -2, 0, 0, -127, 3, 0, -1]


@pytest.mark.parametrize(('raw', 'message'), [
    (b'', '9 differences, 0 of them not 0, got 0 bytes'),
    (bytes([0x80]), '9 differences, 1 of them not 0, got 1 bytes'),
    (bytes([0x80, 0, 0]), '9 differences, 1 of them not 0, got 3 bytes'),
    (bytes([0x80, 0, 0, 0, 0]), '9 differences, 1 of them not 0, got 5 bytes'),
    (bytes(100_000), '9 differences, 0 of them not 0, got 14 bytes'),  # not unpacked any further
    (bytes([0x80, 0, 127, 0]), 'up to 127 steps, got 128'),
])
def test_other_planes_are_corrupt(raw: bytes, message: str) -> None:
    payload = lzma.compress(raw, lzma.FORMAT_RAW, filters=FILTERS)
    with pytest.raises(CorruptUpdate, match=message):
        ByPlanes.unpack(payload, 9)


@PACKINGS
def test_what_is_no_lzma2_is_corrupt(packing: type[ByPlanes]) -> None:
    with pytest.raises(CorruptUpdate, match='payload of 2 bytes'):
        packing.unpack(b'\x03\x00', 9)
