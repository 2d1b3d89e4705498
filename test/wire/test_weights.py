# SPDX-License-Identifier: Apache-2.0
"""Weights: bit-exact or rounded to half precision, and refused when anything is odd."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
import math
import zlib

from hypothesis import given, settings, strategies as st
import pytest
import torch
from torch import Tensor

from shadowtutor_ros.model.groups import FULL, PARTIAL, Shapes, shapes_of
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.wire.errors import (
    BadUpdate,
    CorruptUpdate,
    LayoutMismatch,
    NonFiniteUpdate,
    WireError,
)
from shadowtutor_ros.wire.weights import (
    decode_weights,
    encode_weights,
    EncodedWeights,
    FLOAT_ENCODINGS,
    FP16,
    FP32,
    TensorSpec,
)

TENSORS = {
    'b': torch.tensor([[1.0, -2.5, 1 / 3], [0.0, -0.0, 1e-3]]),
    'a': torch.tensor([0.1]),
    'c': torch.tensor([7.0, 8.0, 9.0, 10.0])}
SHAPES = shapes_of(TENSORS)


def _specs(sizes: Iterable[tuple[str, tuple[int, ...], int, int]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name, shape, 'float32', 1.0, offset, length)
                 for name, shape, offset, length in sizes)


def _with_payload(weights: EncodedWeights, payload: bytes) -> EncodedWeights:
    """Return the weights with another payload and the checksum that fits it."""
    return replace(weights, payload=payload, crc32=zlib.crc32(payload))


def _with_spec(index: int, **changes: object) -> EncodedWeights:
    weights = encode_weights(TENSORS, FP32)
    specs = list(weights.tensors)
    specs[index] = replace(specs[index], **changes)  # type: ignore[arg-type]
    return replace(weights, tensors=tuple(specs))


def _bits(tensor: Tensor) -> list[int]:
    return tensor.contiguous().view(torch.int32).flatten().tolist()


@pytest.mark.parametrize('group', [PARTIAL, FULL])
def test_fp32_is_bit_exact(group: str) -> None:
    tensors = Student.random(StudentInfo(('x',) * 9), 0).weights(group)
    decoded = decode_weights(encode_weights(tensors, FP32), shapes_of(tensors))
    assert list(decoded) == list(tensors)
    for name, tensor in tensors.items():
        assert decoded[name].shape == tensor.shape
        assert _bits(decoded[name]) == _bits(tensor)


@pytest.mark.parametrize(('encoding', 'size'), [(FP32, 413_860), (FP16, 206_930)])
def test_size_of_the_partial_set(encoding: str, size: int) -> None:
    tensors = Student.random(StudentInfo(('x',) * 9), 0).weights(PARTIAL)
    weights = encode_weights(tensors, encoding)
    assert len(weights.payload) == size
    assert len(weights.tensors) == 26
    assert sum(spec.length for spec in weights.tensors) == size


@given(st.lists(st.floats(-65503, 65503, width=32), min_size=1, max_size=30))
@settings(deadline=None)
def test_fp16_is_rounding_to_half_once(values: list[float]) -> None:
    tensors = {'w': torch.tensor(values)}
    decoded = decode_weights(encode_weights(tensors, FP16), shapes_of(tensors))
    assert _bits(decoded['w']) == _bits(tensors['w'].half().float())
    again = decode_weights(encode_weights(decoded, FP16), shapes_of(tensors))
    assert _bits(again['w']) == _bits(decoded['w'])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32),
                min_size=1, max_size=30))
@settings(deadline=None)
def test_fp32_carries_every_finite_number(values: list[float]) -> None:
    tensors = {'w': torch.tensor(values)}
    decoded = decode_weights(encode_weights(tensors, FP32), shapes_of(tensors))
    assert _bits(decoded['w']) == _bits(tensors['w'])


def test_payload_is_little_endian_in_the_tensors_order() -> None:
    weights = encode_weights({'x': torch.tensor([1.0, -2.0]), 'y': torch.tensor(0.5)}, FP16)
    assert weights == EncodedWeights(
        FP16,
        (TensorSpec('x', (2,), 'float16', 1.0, 0, 4), TensorSpec('y', (), 'float16', 1.0, 4, 2)),
        bytes.fromhex('003c00c00038'), zlib.crc32(bytes.fromhex('003c00c00038')))


def test_any_memory_layout_is_encoded() -> None:
    conv = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    assert not conv.is_contiguous()
    assert encode_weights({'w': conv}, FP32) == encode_weights({'w': conv.contiguous()}, FP32)


def test_decoded_tensors_are_the_callers_own() -> None:
    weights = encode_weights(TENSORS, FP32)
    decode_weights(weights, SHAPES)['b'].zero_()
    assert _bits(decode_weights(weights, SHAPES)['b']) == _bits(TENSORS['b'])


@given(st.data(), st.sampled_from(FLOAT_ENCODINGS))
@settings(deadline=None)
def test_any_flipped_bit_is_corrupt(data: st.DataObject, encoding: str) -> None:
    weights = encode_weights(TENSORS, encoding)
    payload = bytearray(weights.payload)
    for place in data.draw(st.sets(st.integers(0, 8 * len(payload) - 1), min_size=1, max_size=3)):
        payload[place // 8] ^= 1 << place % 8
    with pytest.raises(CorruptUpdate, match='CRC-32'):
        decode_weights(replace(weights, payload=bytes(payload)), SHAPES)


@pytest.mark.parametrize('change', [
    lambda payload: payload[:-1], lambda payload: payload + b'\x00', lambda payload: b'',
    lambda payload: payload[4:], lambda payload: payload * 2,
], ids=['shorter', 'longer', 'empty', 'cut in front', 'doubled'])
def test_payload_of_another_length_is_corrupt(change: Callable[[bytes], bytes]) -> None:
    weights = encode_weights(TENSORS, FP32)
    with pytest.raises(CorruptUpdate):
        decode_weights(replace(weights, payload=change(weights.payload)), SHAPES)
    with pytest.raises(CorruptUpdate, match='expected a payload of 44 bytes'):
        decode_weights(_with_payload(weights, change(weights.payload)), SHAPES)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('encoding', FLOAT_ENCODINGS)
def test_number_that_is_not_finite_is_refused_on_both_sides(
    encoding: str, value: float,
) -> None:
    bad = {**TENSORS, 'a': torch.tensor([value])}
    with pytest.raises(NonFiniteUpdate, match='a is not finite'):
        encode_weights(bad, encoding)
    weights = encode_weights(TENSORS, encoding)
    at, length = weights.tensors[1].offset, weights.tensors[1].length
    number = bad['a'].half() if encoding == FP16 else bad['a']
    payload = weights.payload[:at] + number.numpy().tobytes() + weights.payload[at + length:]
    with pytest.raises(NonFiniteUpdate, match='1 of 11'):
        decode_weights(_with_payload(weights, payload), SHAPES)


@pytest.mark.parametrize('value', [65520.0, -1e6, 3e38])
def test_overflow_of_fp16_is_refused_by_the_sender(value: float) -> None:
    tensors = {'w': torch.tensor([1.0, value])}
    with pytest.raises(NonFiniteUpdate, match='w is not finite as fp16'):
        encode_weights(tensors, FP16)
    encode_weights(tensors, FP32)


@pytest.mark.parametrize('encoding', ['', 'FP32', 'bf16', 'int8'])
def test_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match='weight encoding'):
        encode_weights(TENSORS, encoding)
    with pytest.raises(CorruptUpdate, match='weight encoding'):
        decode_weights(replace(encode_weights(TENSORS, FP32), encoding=encoding), SHAPES)


@pytest.mark.parametrize(('sent', 'read'), [(FP32, FP16), (FP16, FP32)])
def test_encoding_that_is_not_the_payloads_is_corrupt(sent: str, read: str) -> None:
    with pytest.raises(CorruptUpdate, match='expected float'):
        decode_weights(replace(encode_weights(TENSORS, sent), encoding=read), SHAPES)


@pytest.mark.parametrize('shapes', [
    {'b': (2, 3), 'a': (1,), 'd': (4,)},
    {'b': (2, 3), 'a': (1,), 'c': (2, 2)},
    {'b': (3, 2), 'a': (1,), 'c': (4,)},
    {'b': (2, 3), 'a': (1,)},
    {'b': (2, 3), 'a': (1,), 'c': (4,), 'd': (1,)},
    {},
], ids=['name', 'shape', 'transposed', 'extra', 'missing', 'all extra'])
def test_other_names_or_shapes_are_another_layout(shapes: Shapes) -> None:
    with pytest.raises(LayoutMismatch, match='first difference'):
        decode_weights(encode_weights(TENSORS, FP32), shapes)


@pytest.mark.parametrize('weights', [
    _with_spec(1, offset=0),  # overlaps b
    _with_spec(1, offset=20),
    _with_spec(1, offset=28),  # leaves a gap
    _with_spec(0, offset=4),
    _with_spec(2, offset=1 << 31),
    _with_spec(1, length=0),
    _with_spec(1, length=8),
    _with_spec(2, length=1 << 31),
    _with_spec(1, dtype='float16'),
    _with_spec(1, dtype='int32'),
    _with_spec(1, dtype=''),
], ids=str)
def test_tensor_that_is_not_where_it_must_be_is_corrupt(weights: EncodedWeights) -> None:
    with pytest.raises(CorruptUpdate):
        decode_weights(weights, SHAPES)


@pytest.mark.parametrize('shape', [
    (2,), (0,), (), (1, 1), (1 << 40, 1 << 40), (2**32 - 1,) * 8, (2**32 - 1,) * 1_000_000,
], ids=lambda shape: f'{len(shape)} dimensions')
def test_a_shape_is_compared_before_it_is_computed_with(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch,
) -> None:
    def product(*args: object) -> int:
        pytest.fail('the product was computed')

    weights = _with_spec(1, shape=shape)
    monkeypatch.setattr(math, 'prod', product)
    with pytest.raises(LayoutMismatch, match='expected 3 tensors, got 3; first difference'):
        decode_weights(weights, SHAPES)


def test_a_million_empty_tensors_are_another_layout() -> None:
    empty = TensorSpec('', (), 'float32', 1.0, 0, 0)
    weights = replace(encode_weights(TENSORS, FP32), tensors=(empty,) * 1_000_000)
    with pytest.raises(LayoutMismatch, match='expected 3 tensors, got 1000000'):
        decode_weights(weights, SHAPES)


@pytest.mark.parametrize('specs', [
    _specs([('b', (2, 3), 0, 24), ('b', (2, 3), 24, 24)]),
    _specs([('b', (2, 3), 0, 24), ('a', (1,), 24, 4), ('a', (1,), 28, 4), ('c', (4,), 32, 16)]),
], ids=['twice the same', 'one too many'])
def test_repeated_tensor_is_refused(specs: tuple[TensorSpec, ...]) -> None:
    payload = bytes(specs[-1].offset + specs[-1].length)
    weights = EncodedWeights(FP32, specs, payload, zlib.crc32(payload))
    shapes = {spec.name: spec.shape for spec in specs}
    with pytest.raises(LayoutMismatch, match='a repeated name'):
        decode_weights(weights, shapes)


def test_negative_dimensions_are_refused() -> None:
    specs = _specs([('b', (-2, -3), 0, 24), ('a', (1,), 24, 4), ('c', (4,), 28, 16)])
    with pytest.raises(LayoutMismatch):
        decode_weights(replace(encode_weights(TENSORS, FP32), tensors=specs), SHAPES)


def test_exchanged_specs_are_corrupt() -> None:
    weights = encode_weights(TENSORS, FP32)
    with pytest.raises(CorruptUpdate, match='c: expected'):
        decode_weights(replace(weights, tensors=weights.tensors[::-1]), SHAPES)


def test_another_order_with_its_own_offsets_is_read_by_name() -> None:
    backwards = dict(reversed(TENSORS.items()))
    weights = encode_weights(backwards, FP32)
    assert [spec.name for spec in weights.tensors] == ['c', 'a', 'b']
    decoded = decode_weights(weights, SHAPES)
    assert all(torch.equal(decoded[name], tensor) for name, tensor in TENSORS.items())


@pytest.mark.parametrize('error', [CorruptUpdate, LayoutMismatch, NonFiniteUpdate])
def test_every_refusal_is_a_bad_update(error: type[Exception]) -> None:
    assert issubclass(error, BadUpdate)
    assert issubclass(BadUpdate, WireError)
