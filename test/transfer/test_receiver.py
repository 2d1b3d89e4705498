# SPDX-License-Identifier: Apache-2.0
"""Every rule of the receiving end, by hand."""

from __future__ import annotations

from dataclasses import replace
import random
import time
import tracemalloc
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.transfer.pieces import (
    BadPiece,
    Piece,
    PIECE_BYTES,
    piece_count,
    piece_length,
    Report,
)
from shadowtutor_ros.transfer.receiver import EARLY, Receiver, REMEMBERED

MAX_BYTES = 1 << 20


def pieces(count: int, transfer: int = 7, asks: bool = False) -> list[Piece]:
    """Return the pieces of a payload, as a first sending has them."""
    size = count * PIECE_BYTES - 9
    data = random.Random(transfer).randbytes(size)
    return [Piece(transfer, size, index, index + 1, asks,
                  data[index * PIECE_BYTES:(index + 1) * PIECE_BYTES]) for index in range(count)]


def payload(of: list[Piece]) -> bytes:
    return b''.join(piece.data for piece in of)


def test_answers_when_asked_and_when_complete() -> None:
    receiver = Receiver(MAX_BYTES)
    sent = pieces(5)
    assert receiver.on_piece(sent[0]) is None
    assert receiver.on_piece(replace(sent[2], report=True)) == Report(7, 3, 1, b'\x01')
    assert receiver.on_piece(sent[4]) is None
    assert receiver.on_piece(replace(sent[3], report=True)) == Report(7, 5, 1, b'\x07')
    assert receiver.take(7) is None
    assert receiver.on_piece(replace(sent[1], order=6)) == Report(7, 6, 5, b'')
    assert receiver.take(7) == payload(sent)


def test_once_taken_late_pieces_are_answered_and_not_collected() -> None:
    receiver = Receiver(MAX_BYTES)
    sent = pieces(3)
    for piece in sent:
        receiver.on_piece(piece)
    assert receiver.on_piece(sent[1]) == Report(7, 3, 3, b'')  # complete, not yet taken
    assert receiver.take(7) == payload(sent)
    assert receiver.take(7) is None
    assert receiver.on_piece(replace(sent[0], order=4)) == Report(7, 4, 3, b'')
    assert receiver.take(7) is None


def test_an_empty_payload() -> None:
    receiver = Receiver(MAX_BYTES)
    assert receiver.on_piece(Piece(7, 0, 0, 1, True, b'')) == Report(7, 1, 1, b'')
    assert receiver.take(7) == b''


def test_the_first_copy_counts() -> None:
    receiver = Receiver(MAX_BYTES)
    sent = pieces(2)
    receiver.on_piece(sent[0])
    other = replace(sent[0], order=2, data=bytes(PIECE_BYTES), report=True)
    assert receiver.on_piece(other) == Report(7, 2, 1, b'')
    receiver.on_piece(sent[1])
    assert receiver.take(7) == payload(sent)


def test_a_report_has_at_most_512_bytes() -> None:
    receiver = Receiver(64 << 20)
    size = 6000 * PIECE_BYTES
    data = bytes(PIECE_BYTES)
    for index in (1, 4096, 4097, 5999):
        report = receiver.on_piece(Piece(7, size, index, index, True, data))
    assert report is not None
    assert len(report.received) == 512
    assert report.newest == 5999
    assert [index for index in range(6000) if report.has(index)] == [1, 4096]


@settings(derandomize=True)
@given(st.permutations(range(20)), st.integers(1, 20))
def test_reports_are_true_in_any_order(order: list[int], upto: int) -> None:
    receiver = Receiver(MAX_BYTES)
    sent = pieces(20, asks=True)
    for index in order[:upto]:
        report = receiver.on_piece(sent[index])
    assert report is not None
    assert {index for index in range(40) if report.has(index)} == set(order[:upto])
    assert report.newest == 1 + max(order[:upto])
    assert receiver.take(7) == (payload(sent) if upto == 20 else None)


@pytest.mark.parametrize(('change', 'names'), [
    ({'size': MAX_BYTES + 1, 'transfer': 8}, [f'0 to {MAX_BYTES} ', f'got {MAX_BYTES + 1}']),
    ({'size': -1, 'transfer': 8}, ['got -1']),
    ({'size': 4000}, ['3831', 'got 4000']),
    ({'index': 3}, ['0 to 2', 'got 3']),
    ({'index': -1}, ['0 to 2', 'got -1']),
    ({'data': b''}, ['1271', 'got 0']),
    ({'data': bytes(1336)}, ['1271', 'got 1336']),
    ({'index': 0}, ['1280', 'got 1271']),
    ({'order': 0}, ['got 7 and 0']),
    ({'length': 1279, 'transfer': 8}, ['1280 to 8192', 'got 1279']),
    ({'length': 8193, 'transfer': 8}, ['1280 to 8192', 'got 8193']),
    ({'length': 2000}, ['in pieces of 1280 as before', 'in 2000']),
    ({'transfer': 0}, ['got 0 and 3'])])
def test_bad_pieces_change_nothing(change: dict[str, Any], names: list[str]) -> None:
    receiver = Receiver(MAX_BYTES, keep=1)
    sent = pieces(3)
    receiver.on_piece(sent[0])
    receiver.on_piece(sent[1])
    with pytest.raises(BadPiece) as raised:
        receiver.on_piece(replace(sent[2], **change))
    assert isinstance(raised.value, ShadowTutorError)
    for name in names:
        assert name in str(raised.value)
    assert receiver.on_piece(sent[2]) == Report(7, 3, 3, b'')
    assert receiver.take(7) == payload(sent)
    with pytest.raises(BadPiece):  # and so it is once taken
        receiver.on_piece(replace(sent[2], **change))


def test_the_longest_silent_makes_place() -> None:
    receiver = Receiver(MAX_BYTES, keep=2)
    first, second, third = (pieces(3, transfer) for transfer in (1, 2, 3))
    receiver.on_piece(first[0])
    receiver.on_piece(second[0])
    receiver.on_piece(first[1])
    receiver.on_piece(third[0])  # in place of the second
    receiver.on_piece(first[2])
    assert receiver.take(1) == payload(first)
    report = receiver.on_piece(replace(second[1], report=True))
    assert report == Report(2, 2, 0, b'\x01')
    # The place of what was taken is free: the third is still here.
    report = receiver.on_piece(replace(third[1], report=True))
    assert report == Report(3, 2, 2, b'')


def test_memory_of_what_was_taken_is_bounded() -> None:
    receiver = Receiver(MAX_BYTES)
    for transfer in range(1, REMEMBERED + 2):
        receiver.on_piece(Piece(transfer, 1, 0, 1, False, b'x'))
        assert receiver.take(transfer) == b'x'
    for transfer, collected_again in ((2, None), (REMEMBERED + 1, None), (1, b'x')):
        receiver.on_piece(Piece(transfer, 1, 0, 2, False, b'x'))
        assert receiver.take(transfer) == collected_again


def test_a_claimed_size_costs_nothing() -> None:
    receiver = Receiver(64 << 20)
    data = bytes(PIECE_BYTES)
    tracemalloc.start()
    for transfer in range(1, 101):
        receiver.on_piece(Piece(transfer, 64 << 20, 49_000, 1, True, data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_what_was_taken_costs_nothing() -> None:
    receiver = Receiver(MAX_BYTES)
    tracemalloc.start()
    for transfer in range(1, 31):
        for piece in pieces(100, transfer):
            receiver.on_piece(piece)
        receiver.take(transfer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * 100 * PIECE_BYTES


@pytest.mark.parametrize('backwards', [False, True])
def test_fifty_thousand_pieces(backwards: bool) -> None:
    count = 50_000
    receiver = Receiver(count * PIECE_BYTES)
    receiver.expected = 7
    data = bytes(PIECE_BYTES)
    start = time.process_time()
    for index in reversed(range(count)) if backwards else range(count):
        receiver.on_piece(Piece(7, count * PIECE_BYTES, index, index + 1, index % 8 == 0, data))
    taken = receiver.take(7)
    # A scan of all pieces for each would take minutes.
    assert time.process_time() - start < 5.0
    assert taken == bytes(count * PIECE_BYTES)


NUMBERS = st.one_of(st.integers(-3, 4000), st.sampled_from([1 << 32, 1 << 63, 1 << 64]))


@st.composite
def garbage(draw: st.DrawFn) -> Piece:
    size, index = draw(NUMBERS), draw(st.one_of(st.integers(0, 3), NUMBERS))
    length = draw(st.integers(0, PIECE_BYTES + 1))
    if 0 <= size <= MAX_BYTES and 0 <= index < piece_count(size) and draw(st.booleans()):
        length = piece_length(size, index)
    return Piece(draw(st.integers(0, 12)), size, index, draw(NUMBERS), draw(st.booleans()),
                 bytes(length), draw(st.one_of(st.just(PIECE_BYTES), NUMBERS)))


@settings(derandomize=True)
@given(st.lists(garbage(), max_size=40), st.integers(0, 2**32))
def test_garbage_never_corrupts(noise: list[Piece], seed: int) -> None:
    receiver = Receiver(MAX_BYTES, keep=20)
    sent = pieces(30, transfer=99)
    stream = [*noise, *sent]
    random.Random(seed).shuffle(stream)
    for piece in stream:
        try:
            receiver.on_piece(piece)
        except BadPiece:
            assert piece.transfer != 99
    assert receiver.take(99) == payload(sent)


def test_junk_does_not_take_the_place_of_what_is_expected() -> None:
    receiver = Receiver(MAX_BYTES)
    receiver.expected = 7
    assert receiver.on_piece(Piece(7, 2 * PIECE_BYTES, 0, 1, False, bytes(PIECE_BYTES))) is None
    for transfer in range(100, 1100):
        receiver.on_piece(Piece(transfer, 1280, 0, 1, False, bytes(PIECE_BYTES)))
    receiver.on_piece(Piece(7, 2 * PIECE_BYTES, 1, 2, False, bytes(PIECE_BYTES)))
    assert receiver.take(7) == bytes(2 * PIECE_BYTES)


def test_pieces_that_nobody_expects_take_no_memory_to_speak_of() -> None:
    receiver = Receiver(64 << 20)
    for transfer in 1, 2, 3, 4:
        for index in range(3000):
            receiver.on_piece(Piece(transfer, 64 << 20, index, 1, False, bytes(PIECE_BYTES)))
            assert sum(each.held for each in receiver._open.values()) <= EARLY
