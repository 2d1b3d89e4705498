# SPDX-License-Identifier: Apache-2.0
"""What serialized messages say of sizes is checked before anything is allocated."""

from __future__ import annotations

from array import array
import struct
import tracemalloc
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest
from rclpy.serialization import serialize_message
from rosidl_parser.definition import BoundedSequence
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from shadowtutor_msgs.msg import (
    ClassMap,
    Piece,
    StreamStatus,
    StudentUpdate,
    TutorStatus,
    WeightTensor,
)
from std_msgs.msg import Header

from shadowtutor_ros.wire.cdr import check_sizes
from shadowtutor_ros.wire.errors import BadCdr

pytestmark = pytest.mark.ros

MOST = 64 << 10  # bytes that a check may allocate
TENSOR = WeightTensor(name='ZZZZ', shape=array('I', [3, 4]), dtype='int8', length=12)


def update(tensors: int = 2, payload: bytes = b'') -> StudentUpdate:
    return StudentUpdate(
        header=Header(frame_id='camera'), stream_id='robot', group='partial', encoding='delta',
        tensors=[TENSOR] * tensors, payload=array('B', payload))


@pytest.mark.parametrize('message', [
    StudentUpdate(), update(), update(5, bytes(range(7))), Image(data=array('B', bytes(9))),
    CompressedImage(format='jpeg', data=array('B', b'abc')), Piece(data=array('B', bytes(1280))),
    ClassMap(class_names=['a', '', 'long name'], colours=array('B', bytes(9))),
    TutorStatus(teacher='yolo', streams=[StreamStatus(stream_id=name) for name in 'abc']),
    CameraInfo(d=array('d', [1.0, 2.0])), Header(frame_id='x'),
], ids=lambda m: type(m).__name__)
def test_a_message_is_read_to_its_end(message: Any) -> None:
    data = serialize_message(message)
    check_sizes(data, type(message))
    last = len(data)
    while last:  # at most padding may be missing
        last -= 1
        try:
            check_sizes(data[:last], type(message))
        except BadCdr:
            break
    assert len(data) - last <= 4
    for length in range(last):
        with pytest.raises(BadCdr):
            check_sizes(data[:length], type(message))


@settings(deadline=None, max_examples=50)
@given(st.text(max_size=20), st.lists(st.text(max_size=9), max_size=5), st.binary(max_size=50))
def test_alignment_is_that_of_the_serializer(
    stream_id: str, names: list[str], payload: bytes,
) -> None:
    stream_id, *names = (text.replace('\0', '') for text in (stream_id, *names))
    message = update(0, payload)
    message.stream_id = stream_id
    message.tensors = [WeightTensor(name=name, shape=array('I', [1] * (len(name) % 4)))
                       for name in names]
    data = serialize_message(message)
    check_sizes(data, StudentUpdate)
    if payload:
        with pytest.raises(BadCdr, match='payload: '):
            check_sizes(data[:-4], StudentUpdate)


def place_of(mark: bytes, data: bytes) -> int:
    """Return where the length of a string stands that begins with ``mark``."""
    return data.index(mark) - 4


def claims(at: int, count: int, data: bytes, behind: int = 0) -> bytes:
    return data[:at] + struct.pack('<I', count) + data[at + 4:] + bytes(behind)


def bound_of(field: str) -> int:
    kind = dict(zip(StudentUpdate.get_fields_and_field_types(), StudentUpdate.SLOT_TYPES))[field]
    assert isinstance(kind, BoundedSequence)
    return kind.maximum_size


DATA = serialize_message(update())
TENSORS = place_of(b'ZZZZ', DATA) - 4


@pytest.mark.parametrize(('data', 'error'), [
    (claims(TENSORS, 4_000_000, DATA, 4_000_000),
     f'tensors: expected at most {bound_of("tensors")}, got 4000000'),
    (claims(TENSORS, 2**32 - 1, DATA), 'tensors: expected at most'),
    (claims(TENSORS, bound_of('tensors') + 1, DATA, 1 << 20), 'tensors: expected at most'),
    (claims(place_of(b'ZZZZ', DATA), 4_000_000, DATA, 4_000_000),
     'tensors: name: expected at most'),
    (claims(place_of(b'ZZZZ', DATA) + 12, 2**32 - 1, DATA), 'shape: expected at most 8, got'),
    (claims(place_of(b'camera', DATA), 2**32 - 1, DATA),
     'header: frame_id: expected 4294967295 of 1 bytes'),
    (claims(place_of(b'robot', DATA), 1000, DATA, 1000), 'stream_id: expected at most 129'),
    (b'', 'plain CDR'), (b'\0\1\0', 'plain CDR'), (b'\0\7\0\0' + DATA[4:], 'plain CDR'),
    (b'\0\1\0\0' + bytes(9), 'frame_id: expected 1 of 4 bytes, 3 bytes are missing'),
], ids=lambda value: value if isinstance(value, str) else len(value))
def test_what_is_too_large_is_refused_and_nothing_allocated(data: bytes, error: str) -> None:
    with pytest.raises(BadCdr, match='expected'):
        check_sizes(data, StudentUpdate)  # fills the caches
    tracemalloc.start()
    try:
        with pytest.raises(BadCdr, match=error):
            check_sizes(data, StudentUpdate)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST


def test_big_endian_is_read() -> None:
    big = b'\0\0\0\0' + struct.pack('>iII', 1, 2, 3) + b'ab\0'
    check_sizes(big, Header)
    with pytest.raises(BadCdr, match='frame_id: expected 4 of 1 bytes'):
        check_sizes(big.replace(b'\0\3ab', b'\0\4ab'), Header)
