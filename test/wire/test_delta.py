# SPDX-License-Identifier: Apache-2.0
"""Differences: few bytes, the same bits on both sides, refused when anything is odd."""

from __future__ import annotations

from dataclasses import replace
import lzma
import math
import zlib

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import torch
from torch import Tensor

from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.wire.dct import to_planes
from shadowtutor_ros.wire.delta import as_array, decode_delta, DELTA, DELTA_DCT, encode_delta
from shadowtutor_ros.wire.errors import (
    BadUpdate,
    CorruptUpdate,
    LayoutMismatch,
    NonFiniteUpdate,
)
from shadowtutor_ros.wire.weights import EncodedWeights, TensorSpec

BASE = {'b': torch.tensor([[1.0, -2.5, 1 / 3], [0.0, -0.0, 1e-3]]), 'a': torch.tensor([0.1])}
CHANGED = {'b': BASE['b'] + torch.tensor([[0.1, -0.1, 0.05], [0.0, 0.2, -0.1]]),
           'a': torch.tensor([0.4])}


def _with_spec(index: int, **changes: object) -> EncodedWeights:
    weights = encode_delta(BASE, CHANGED, {})
    specs = list(weights.tensors)
    specs[index] = replace(specs[index], **changes)  # type: ignore[arg-type]
    return replace(weights, tensors=tuple(specs))


def _with_payload(payload: bytes) -> EncodedWeights:
    weights = encode_delta(BASE, CHANGED, {})
    return replace(weights, payload=payload, crc32=zlib.crc32(payload))


def _trained(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    student = Student.random(StudentInfo(tuple('abcdefghi')), seed)
    base = {name: t.clone() for name, t in student.weights(PARTIAL).items()}
    torch.manual_seed(seed)
    return base, {name: t + 0.005 * torch.randn_like(t) for name, t in base.items()}


ENCODINGS = pytest.mark.parametrize('encoding', [DELTA, DELTA_DCT])


def test_a_difference_is_kept_to_half_a_step() -> None:
    weights = encode_delta(BASE, CHANGED, {})
    decoded = decode_delta(weights, BASE)
    for spec in weights.tensors:
        error = (decoded[spec.name] - CHANGED[spec.name]).abs().max()
        assert error <= spec.scale / 2 * 1.001


def test_frequencies_are_kept_to_half_a_step_and_so_are_kernels_together() -> None:
    base, changed = _trained(0)
    weights = encode_delta(base, changed, {}, encoding=DELTA_DCT)
    assert weights.encoding == DELTA_DCT
    decoded = decode_delta(weights, base)
    for spec in weights.tensors:
        left = as_array(changed[spec.name] - decoded[spec.name])
        assert np.abs(to_planes(left)).max() <= spec.scale / 2 * 1.01


def test_kernels_that_learn_the_same_everywhere_take_few_bytes() -> None:
    base = {'w': torch.zeros(32, 64, 3, 3)}
    torch.manual_seed(0)
    changed = {'w': torch.randn(32, 64, 1, 1) + 0.2 * torch.randn(32, 64, 3, 3)}
    plain, planes = (encode_delta(base, changed, {}, encoding=encoding)
                     for encoding in (DELTA, DELTA_DCT))
    assert len(planes.payload) < 0.75 * len(plain.payload)
    errors = [float((decode_delta(w, base)['w'] - changed['w']).square().mean())
              for w in (plain, planes)]
    assert errors[1] < errors[0]


def test_differences_of_before_mean_what_they_meant() -> None:
    """A payload of an older release, as its robots decode it."""
    payload = lzma.compress(
        np.array([0, 1, 2, -3, 4, 5, 6, 7, 127], np.int8).tobytes(), lzma.FORMAT_RAW,
        filters=[{'id': lzma.FILTER_LZMA2, 'preset': 6, 'dict_size': 1 << 20, 'pb': 0}])
    weights = EncodedWeights(
        'delta', (TensorSpec('w', (1, 1, 3, 3), 'int8', 0.5, 0, 9),), payload,
        zlib.crc32(payload))
    decoded = decode_delta(weights, {'w': torch.ones(1, 1, 3, 3)})['w']
    assert decoded.flatten().tolist() == [1.0, 1.5, 2.0, -0.5, 3.0, 3.5, 4.0, 4.5, 64.5]


@pytest.mark.parametrize('step', [1.0, 0.5])
def test_the_step_is_in_rms_and_finer_in_smaller_tensors(step: float) -> None:
    base = {name: torch.zeros(size) for name, size in (('large', 2**16), ('small', 2**12))}
    changed = {name: torch.full_like(tensor, 3.0) for name, tensor in base.items()}
    large, small = (spec.scale for spec in encode_delta(base, changed, {}, step=step).tensors)
    assert large == pytest.approx(3.0 * step)
    assert small == pytest.approx(3.0 * step / 8)


def test_the_step_reaches_the_peak() -> None:
    changed = torch.zeros(2**16)
    changed[3] = 1.0
    spec, = encode_delta({'w': torch.zeros(2**16)}, {'w': changed}, {}).tensors
    assert spec.scale == pytest.approx(1 / 127)


@ENCODINGS
def test_noise_of_a_whole_partial_set_takes_a_fourth_of_half_precision(encoding: str) -> None:
    base, changed = _trained(0)
    payload = encode_delta(base, changed, {}, encoding=encoding).payload
    assert len(payload) < 206_930 / 4


@ENCODINGS
def test_what_did_not_change_takes_no_bytes(encoding: str) -> None:
    base, _ = _trained(0)
    residual = {name: np.full(tuple(t.shape), 0.1, np.float32) for name, t in base.items()}
    weights = encode_delta(base, base, residual, encoding=encoding)
    assert len(weights.payload) < 200
    decoded = decode_delta(weights, base)
    assert all(torch.equal(decoded[name], t) for name, t in base.items())


def test_what_was_left_out_is_sent_where_there_is_a_change() -> None:
    base = {'w': torch.zeros(4)}
    residual = {'w': np.array([0.0, 0.0, 0.0, 3.0], np.float32)}
    weights = encode_delta(base, {'w': torch.tensor([1.0, -1.0, 1.0, 1.0])}, residual)
    error = decode_delta(weights, base)['w'] - torch.tensor([1.0, -1.0, 1.0, 4.0])
    assert error.abs().max() <= weights.tensors[0].scale / 2 * 1.001


def test_a_large_residual_makes_the_step_coarser_and_not_the_update_larger() -> None:
    base, changed = _trained(0)
    plain = encode_delta(base, changed, {})
    residual = {name: 10 * as_array(changed[name] - t) for name, t in base.items()}
    assert len(encode_delta(base, changed, residual).payload) < 1.1 * len(plain.payload)


def test_only_the_largest_are_sent() -> None:
    base = {'w': torch.zeros(10)}
    weights = encode_delta(base, {'w': torch.arange(10.0)}, {}, density=0.3)
    assert torch.count_nonzero(decode_delta(weights, base)['w'][:7]) == 0
    assert torch.count_nonzero(decode_delta(weights, base)['w'][7:]) == 3


@ENCODINGS
def test_the_memory_layout_does_not_matter(encoding: str) -> None:
    conv, other = torch.randn(8, 4, 3, 3), torch.randn(8, 4, 3, 3)
    last = torch.channels_last
    assert encode_delta({'w': conv}, {'w': other}, {}, encoding=encoding) == encode_delta(
        {'w': conv.contiguous(memory_format=last)}, {'w': other.contiguous(memory_format=last)},
        {}, encoding=encoding)


def test_base_and_target_stay_as_they_are() -> None:
    base, target = BASE['b'].clone(), CHANGED['b'].clone()
    decode_delta(encode_delta(BASE, CHANGED, {}), BASE)['b'].zero_()
    assert torch.equal(BASE['b'], base)
    assert torch.equal(CHANGED['b'], target)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_flipped_bit_is_corrupt(data: st.DataObject) -> None:
    weights = encode_delta(BASE, CHANGED, {})
    payload = bytearray(weights.payload)
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CorruptUpdate, match='CRC-32'):
        decode_delta(replace(weights, payload=bytes(payload)), BASE)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=64), st.sampled_from([DELTA, DELTA_DCT]))
def test_any_payload_with_a_fitting_checksum_is_decoded_or_refused(
    payload: bytes, encoding: str,
) -> None:
    try:
        decoded = decode_delta(replace(_with_payload(payload), encoding=encoding), BASE)
    except BadUpdate:
        return
    assert all(torch.isfinite(tensor).all() for tensor in decoded.values())


@pytest.mark.parametrize('count', [6, 8, 1 << 22])
def test_another_number_of_differences_is_corrupt_without_unpacking_them_all(count: int) -> None:
    weights = encode_delta({'w': torch.zeros(count)}, {'w': torch.zeros(count)}, {})
    with pytest.raises(CorruptUpdate, match='expected 7 differences'):
        decode_delta(_with_payload(weights.payload), BASE)


@pytest.mark.parametrize('weights', [
    _with_spec(0, scale=0.0), _with_spec(0, scale=-1.0), _with_spec(1, scale=math.nan),
    _with_spec(1, scale=math.inf), _with_spec(0, dtype='float16'), _with_spec(1, offset=0),
    _with_spec(1, length=2)], ids=str)
def test_a_tensor_that_is_not_as_it_must_be_is_corrupt(weights: EncodedWeights) -> None:
    with pytest.raises(CorruptUpdate):
        decode_delta(weights, BASE)


def test_another_layout_is_refused() -> None:
    weights = encode_delta(BASE, CHANGED, {})
    with pytest.raises(LayoutMismatch, match='expected 1 tensors, got 2'):
        decode_delta(weights, {'a': BASE['a']})


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_encoded(value: float) -> None:
    with pytest.raises(NonFiniteUpdate, match='a is not finite'):
        encode_delta(BASE, {**CHANGED, 'a': torch.tensor([value])}, {})


def test_an_overflow_is_not_finite() -> None:
    with pytest.raises(NonFiniteUpdate, match='a is not finite after'):
        decode_delta(_with_spec(1, scale=3e38), {**BASE, 'a': torch.tensor([3e38])})


def test_an_overflow_within_a_kernel_is_not_finite() -> None:
    base = {'w': torch.zeros(2, 2, 3, 3)}
    weights = encode_delta(base, {'w': torch.randn(2, 2, 3, 3)}, {}, encoding=DELTA_DCT)
    spec = replace(weights.tensors[0], scale=3e38)
    with pytest.raises(NonFiniteUpdate, match='w is not finite after'):
        decode_delta(replace(weights, tensors=(spec,)), base)
