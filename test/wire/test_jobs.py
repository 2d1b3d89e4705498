# SPDX-License-Identifier: Apache-2.0
"""What robot and helper send each other, and what is refused of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from shadowtutor_ros.model.groups import FULL, shapes_of
from shadowtutor_ros.model.network import Features
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.wire.errors import BadJob
from shadowtutor_ros.wire.jobs import (
    decode_answer,
    decode_order,
    encode_done,
    encode_features,
    encode_job,
    encode_need,
    encode_student,
    encode_undone,
    encode_update,
    FeaturesOrder,
    FrameOrder,
    PackedUpdate,
    WholeStudent,
)
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.whole import unpack_student

INFO = StudentInfo(('a', 'b', 'background'), ((1, 2, 3), (4, 5, 6), (7, 8, 9)))
FRAME = np.random.default_rng(0).integers(0, 256, (37, 50, 3), np.uint8)
SIZE = FRAME.shape[0], FRAME.shape[1]


def student(precision: torch.dtype = torch.float32) -> Student:
    student = Student.random(INFO, 1)
    student.precision = precision
    return student


def test_a_student_travels_bit_for_bit() -> None:
    weights = student().weights(FULL)
    order = decode_order(encode_student(INFO, weights, torch.bfloat16, 2**64 - 1, 2**32 - 1))
    assert isinstance(order, WholeStudent)
    assert replace(order, weights=b'') == WholeStudent(2**64 - 1, 2**32 - 1, 'bf16', INFO, b'')
    for name, tensor in unpack_student(order.weights, shapes_of(weights)).items():
        assert torch.equal(tensor, weights[name])


def test_an_update_travels_as_it_is() -> None:
    assert decode_order(encode_update(b'\0 anything')) == PackedUpdate(b'\0 anything')


@pytest.mark.parametrize('format', ['raw', 'png', 'jpeg', 'webp'])
def test_a_frame_travels_in_every_format(format: str) -> None:
    encoded = encode_frame(FRAME, format)
    assert decode_order(encode_job(7, (8, 9), encoded)) == FrameOrder(7, 8, 9, encoded)


@pytest.mark.parametrize('precision', [torch.bfloat16, torch.float32])
def test_features_travel_in_16_bits(precision: torch.dtype) -> None:
    features = student(precision).front(FRAME)
    data = encode_features(7, (8, 9), SIZE, features)
    order = decode_order(data)
    assert isinstance(order, FeaturesOrder)
    assert (order.number, order.session_id, order.version, order.size) == (7, 8, 9, SIZE)
    assert order.features.stem_size == features.stem_size
    for there, here in zip(order.features[:3], features[:3]):
        assert isinstance(here, torch.Tensor)
        half = torch.bfloat16 if precision == torch.bfloat16 else torch.float16
        assert torch.equal(there, here.to(half))
        assert there.stride() == here.stride()  # which kernels torch takes depends on that
    assert len(data) < 4 * SIZE[0] * SIZE[1]


def test_what_16_bits_cannot_hold_is_not_sent() -> None:
    features = student().front(FRAME)
    with pytest.raises(BadJob, match='not finite in fp16'):
        encode_features(1, (0, 0), SIZE, features._replace(sb2=features.sb2 * 1e9))
    with pytest.raises(BadJob, match='of a Trunk, got Tensor'):
        encode_features(1, (0, 0), SIZE, features.sb2)


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (32, 33), (37, 50), (64, 96)])
def test_every_size_has_the_shapes_that_are_expected(size: tuple[int, int]) -> None:
    features = student().front(np.zeros((*size, 3), np.uint8))
    order = decode_order(encode_features(1, (0, 0), size, features))
    assert isinstance(order, FeaturesOrder)
    assert [each.shape for each in order.features[:3]] == [each.shape for each in features[:3]]
    assert isinstance(order.features, Features)
    assert order.features.stem_size == features.stem_size


def test_answers() -> None:
    mask = np.random.default_rng(1).integers(0, 3, SIZE, np.uint8)
    done = decode_answer(encode_done(7, mask, 0.25, 0.5))
    assert done.mask is not None
    assert np.array_equal(done.mask, mask)
    assert (done.number, done.error, done.service_seconds, done.waited_seconds) == (
        7, '', 0.25, 0.5)
    assert not done.needs_student
    undone = decode_answer(encode_undone(8, 'Grund: zu groß ' * 40))
    assert (undone.number, undone.mask, undone.needs_student) == (8, None, False)
    assert undone.error.startswith('Grund: zu groß ')
    need = decode_answer(encode_need('lost'))
    assert (need.error, need.needs_student) == ('lost', True)


@pytest.mark.parametrize(('data', 'said'), [
    (b'', 'a kind of 0 to 3, got nothing'),
    (b'\x04', 'a kind of 0 to 3, got 04'),
    (b'\x00' * 12, 'expected 25 bytes or more, got 12'),
    (b'\x02' * 12, 'expected 21 bytes or more, got 12'),
    (encode_student(INFO, {'a': torch.zeros(1)}, torch.float32, 1, 1)[:60],
     'bytes that describe it, got 35'),
    (encode_student(INFO, {'a': torch.zeros(1)}, torch.float32, 1, 1).replace(b'"a"', b' 7 '),
     'names, means'),
    (encode_job(1, (1, 1), encode_frame(FRAME, 'raw')).replace(b'raw', b'r\xffw'), 'text'),
    (encode_features(1, (1, 1), SIZE, student().front(FRAME))[:-1], 'bytes, got'),
    (encode_features(1, (1, 1), SIZE, student().front(FRAME)).replace(b'fp16', b'fp99'),
     'pixels in fp16 or bf16'),
    (b'\x03' + bytes(20) + b'\xff' * 8 + b'fp16' + bytes(4), 'expected 1 to 9000000 pixels'),
])
def test_a_helper_refuses_what_is_no_order(data: bytes, said: str) -> None:
    with pytest.raises(BadJob, match=said):
        decode_order(data)


@pytest.mark.parametrize(('data', 'said'), [
    (b'\x00', 'expected 17 bytes or more, got 1'),
    (encode_done(1, np.zeros((4, 4), np.uint8), float('nan')), '0 or more seconds, got nan'),
    (encode_done(1, np.zeros((4, 4), np.uint8), 0.0, -1.0), '0 or more seconds, got -1'),
    (encode_done(1, np.zeros((4, 4), np.uint8), 0.0)[:-1], 'mask 1: run lengths'),
    (encode_done(1, np.zeros((40, 40), np.uint8), 0.0), 'expected 1 to 1000 pixels'),
    (encode_undone(1, '') + b'x' * 301, 'kind 1 with 301 bytes'),
    (b'\x09' + encode_undone(1, '')[1:], 'kind 9'),
])
def test_a_robot_refuses_what_is_no_answer(data: bytes, said: str) -> None:
    with pytest.raises(BadJob, match=said):
        decode_answer(data, 1000)
