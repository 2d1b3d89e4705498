# SPDX-License-Identifier: Apache-2.0
"""A student that a robot hands up, as bytes."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
import torch

from shadowtutor_ros.model.groups import FULL, shapes_of
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.wire.errors import CorruptUpdate, NonFiniteUpdate
from shadowtutor_ros.wire.whole import pack_student, unpack_student

TENSORS = {'a': torch.tensor([[1.0, -2.5], [3e-30, 0.1]]), 'b': torch.tensor([7.0])}
SHAPES = shapes_of(TENSORS)


def test_a_student_comes_back_bit_for_bit(info: StudentInfo) -> None:
    tensors = Student.random(info, 3).weights(FULL)
    data = pack_student(tensors)
    back = unpack_student(data, shapes_of(tensors))
    assert list(back) == list(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor), name


def test_what_was_rounded_takes_less(info: StudentInfo) -> None:
    tensors = Student.random(info, 3).weights(FULL)
    rounded = {name: tensor.half().float() for name, tensor in tensors.items()}
    nbytes = sum(tensor.nbytes for tensor in tensors.values())
    assert len(pack_student(tensors)) < 0.95 * nbytes
    assert len(pack_student(rounded)) < 0.6 * nbytes


@pytest.mark.parametrize(('data', 'message'), [
    (b'', 'expected a student of 20 bytes, got 0'),
    (b'no zlib', '7 bytes are no student'),
    (pack_student(TENSORS)[:-1], 'expected a student of 20 bytes'),
    (pack_student(TENSORS) + b'x', 'expected a student of 20 bytes'),
    (zlib.compress(bytes(19)), 'expected a student of 20 bytes, got 19'),
    (zlib.compress(bytes(21)), 'expected a student of 20 bytes, got more')])
def test_other_bytes_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(CorruptUpdate, match=message):
        unpack_student(data, SHAPES)


def test_no_more_is_unpacked_than_a_student_has() -> None:
    bomb = zlib.compress(bytes(64 << 20))
    tracemalloc.start()
    with pytest.raises(CorruptUpdate, match='got more'):
        unpack_student(bomb, SHAPES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    tensors = {**TENSORS, 'b': torch.tensor([value])}
    with pytest.raises(NonFiniteUpdate, match='1 of 5 weights'):
        unpack_student(pack_student(tensors), SHAPES)
