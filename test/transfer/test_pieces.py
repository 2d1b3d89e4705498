# SPDX-License-Identifier: Apache-2.0
from hypothesis import given, settings, strategies as st
import pytest

from shadowtutor_ros.transfer.pieces import (
    LARGE_PIECE_BYTES,
    PIECE_BYTES,
    piece_count,
    piece_length,
    Report,
)


@pytest.mark.parametrize(('size', 'lengths'), [
    (0, [0]), (1, [1]), (1280, [1280]), (1281, [1280, 1]), (3000, [1280, 1280, 440])])
def test_pieces_of_a_payload(size: int, lengths: list[int]) -> None:
    assert PIECE_BYTES == 1280
    count = piece_count(size)
    assert [piece_length(size, index) for index in range(count)] == lengths


def test_a_report_by_hand() -> None:
    report = Report(1, 20, first_missing=3, received=bytes([0b0000_0101, 0b1000_0000]))
    assert [index for index in range(40) if report.has(index)] == [0, 1, 2, 4, 6, 19]


@settings(derandomize=True)
@given(st.integers(0, 100), st.binary(max_size=16))
def test_the_first_missing_is_never_there(first_missing: int, received: bytes) -> None:
    report = Report(1, 1, first_missing, received)
    assert not report.has(first_missing)
    assert all(report.has(index) for index in range(first_missing))
    there = sum(report.has(index) for index in range(first_missing + 1, first_missing + 300))
    assert there == sum(byte.bit_count() for byte in received)


@pytest.mark.parametrize(('size', 'lengths'), [
    (0, [0]), (8192, [8192]), (8193, [8192, 1]), (20_000, [8192, 8192, 3616])])
def test_large_pieces(size: int, lengths: list[int]) -> None:
    assert LARGE_PIECE_BYTES == 8192
    count = piece_count(size, LARGE_PIECE_BYTES)
    assert [piece_length(size, index, LARGE_PIECE_BYTES) for index in range(count)] == lengths
