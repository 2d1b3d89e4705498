# SPDX-License-Identifier: Apache-2.0
"""Pieces, reports and updates come back from the wire as they were."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
import struct
import subprocess
import sys
import zlib

from hypothesis import given, settings, strategies as st
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from shadowtutor_msgs.msg import Piece as PieceMsg, PieceReport

from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.transfer.pieces import Piece, PIECE_BYTES, Report
from shadowtutor_ros.wire.errors import BadUpdate, CorruptUpdate
from shadowtutor_ros.wire.piece_messages import (
    MAX_UPDATE,
    piece_from_msg,
    piece_to_msg,
    report_from_msg,
    report_to_msg,
    update_from_bytes,
    update_to_bytes,
)
from shadowtutor_ros.wire.update import StudentUpdate
from shadowtutor_ros.wire.weights import encode_weights

LIMIT = 1400  # bytes of an RTPS message in config/dds/fastdds-mtu.xml
# Header, INFO_DST, INFO_TS, and the DATA submessage's header.
RTPS = 20 + 16 + 12 + 24


@pytest.fixture(scope='module')
def update() -> StudentUpdate:
    student = Student.random(StudentInfo(tuple('abc')), 0)
    return StudentUpdate(
        'robot', 3, 10**9, 'camera', student.layout_hash, PARTIAL, 7, 0, 1,
        encode_weights(student.weights(PARTIAL), 'fp16'), 0.25, 0.75, 6, 0.5, 0.25, 1.5)


@pytest.mark.parametrize('piece', [
    Piece(1, 0, 0, 1, False, b''), Piece(2**64 - 1, 2**31, 2**20, 2**32 - 1, True, b'\x00\xff')])
def test_a_piece_comes_back(piece: Piece) -> None:
    msg = deserialize_message(serialize_message(piece_to_msg(piece)), PieceMsg)
    assert piece_from_msg(msg) == piece


def test_a_report_comes_back() -> None:
    report = Report(2**63, 17, 4, b'\x05\x80')
    msg = deserialize_message(serialize_message(report_to_msg(report)), PieceReport)
    assert report_from_msg(msg) == report


def test_a_piece_is_one_packet() -> None:
    piece = Piece(1, 10**6, 0, 1, True, bytes(PIECE_BYTES))
    size = len(serialize_message(piece_to_msg(piece))) + RTPS
    assert LIMIT - 50 < size <= LIMIT


def test_an_update_comes_back_and_its_description_costs_little(update: StudentUpdate) -> None:
    data = update_to_bytes(update)
    assert update_from_bytes(data) == update
    empty = replace(update, weights=replace(update.weights, payload=b''))
    assert len(update_to_bytes(empty)) < 1000


def test_a_truncated_update_is_corrupt(update: StudentUpdate) -> None:
    data = update_to_bytes(update)
    for end in (0, 1, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(CorruptUpdate):
            update_from_bytes(data[:end])


def test_a_bomb_is_not_unpacked() -> None:
    with pytest.raises(CorruptUpdate, match='at most'):
        update_from_bytes(zlib.compress(bytes(MAX_UPDATE + 1)))


def test_a_small_message_that_claims_millions_of_tensors_costs_nothing(
    update: StudentUpdate,
) -> None:
    """In a process of its own: the deserializer allocates outside of what Python counts."""
    serialized = zlib.decompress(update_to_bytes(update))
    name = update.weights.tensors[0].name.encode()
    at = serialized.index(name) - 8  # the number of tensors, and the length of the first name
    claims = serialized[:at] + struct.pack('<I', 2_000_000) + bytes(2_000_000)
    code = (
        'import resource, sys, zlib\n'
        'from shadowtutor_ros.wire.errors import CorruptUpdate\n'
        'from shadowtutor_ros.wire.piece_messages import update_from_bytes\n'
        'data = sys.stdin.buffer.read()\n'
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'try:\n'
        '    update_from_bytes(data)\n'
        'except CorruptUpdate as error:\n'
        '    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)\n')
    run = subprocess.run([sys.executable, '-c', code], input=zlib.compress(claims, 9),
                         capture_output=True, check=True)
    assert b'tensors: expected at most' in run.stdout
    assert int(run.stdout.split()[0]) < 30 * 1024  # KiB


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_changed_byte_is_an_update_or_a_bad_update(
    data: st.DataObject, update: StudentUpdate,
) -> None:
    """What passes here is checked again, with its own checksum, before it is applied."""
    sent = bytearray(zlib.decompress(update_to_bytes(update)))
    for index in data.draw(st.lists(st.integers(0, 4000), min_size=1, max_size=4)):
        sent[index] = data.draw(st.integers(0, 255))
    with suppress(BadUpdate):
        update_from_bytes(zlib.compress(bytes(sent)))
