# SPDX-License-Identifier: Apache-2.0
"""Weight codec, intra: named tensors as floats in one checked payload, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from typing import Any
import zlib

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.wire.errors import CorruptUpdate, LayoutMismatch, NonFiniteUpdate

FP32 = 'fp32'
FP16 = 'fp16'
_DTYPES: dict[str, np.dtype[Any]] = {FP32: np.dtype('<f4'), FP16: np.dtype('<f2')}
FLOAT_ENCODINGS = tuple(_DTYPES)

MAX_PAYLOAD = 64 << 20  # bytes
MAX_TENSORS = 512
MAX_DIMENSIONS = 8


@dataclass(frozen=True)
class TensorSpec:
    """One tensor's place in the payload, as in WeightTensor.msg."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    offset: int
    length: int


@dataclass(frozen=True)
class EncodedWeights:
    """Tensors as they travel."""

    encoding: str
    tensors: tuple[TensorSpec, ...]
    payload: bytes
    crc32: int


def encode_weights(tensors: Mapping[str, Tensor], encoding: str) -> EncodedWeights:
    """
    Put the tensors, in their order, into one payload.

    Raise ValueError for an unknown encoding, NonFiniteUpdate when a weight is not finite in it.
    """
    if encoding not in _DTYPES:
        raise ValueError(f'weight encoding: expected one of {FLOAT_ENCODINGS}, got {encoding!r}')
    dtype = _DTYPES[encoding]
    dtype_name = dtype.name
    specs: list[TensorSpec] = []
    offset = 0
    for name, tensor in tensors.items():
        length = tensor.numel() * dtype.itemsize
        specs.append(TensorSpec(name, tuple(tensor.shape), dtype_name, 1.0, offset, length))
        offset += length
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors.values()]).cpu().numpy()
    with np.errstate(over='ignore'):
        values = flat.astype(dtype)
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0]) * dtype.itemsize
        name = next(spec.name for spec in specs if first < spec.offset + spec.length)
        raise NonFiniteUpdate(f'{name} is not finite as {encoding}')
    payload = values.tobytes()
    return EncodedWeights(encoding, tuple(specs), payload, zlib.crc32(payload))


def decode_weights(
    weights: EncodedWeights, shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, Tensor]:
    """
    Return fp32 tensors by name, exactly those of ``shapes``.

    Raise CorruptUpdate (encoding, checksum, sizes), LayoutMismatch (other names or shapes) or
    NonFiniteUpdate.
    """
    dtype = _DTYPES.get(weights.encoding)
    if dtype is None:
        raise CorruptUpdate(
            f'weight encoding: expected one of {FLOAT_ENCODINGS}, got {weights.encoding!r}')
    check_crc(weights)
    for spec in weights.tensors:
        if spec.scale != 1.0:
            raise CorruptUpdate(f'{spec.name}: expected scale 1, got {spec.scale:g}')
    size = check_specs(weights.tensors, dtype, shapes)
    if size != len(weights.payload):
        raise CorruptUpdate(f'expected a payload of {size} bytes, got {len(weights.payload)}')
    values = np.frombuffer(weights.payload, dtype).astype(np.float32)
    if not np.isfinite(values).all():
        raise NonFiniteUpdate(f'{np.count_nonzero(~np.isfinite(values))} of {values.size} '
                              'weights are not finite')
    flat = torch.from_numpy(values)
    sizes = [math.prod(spec.shape) for spec in weights.tensors]
    return {spec.name: part.view(spec.shape)
            for spec, part in zip(weights.tensors, torch.split(flat, sizes))}


def check_crc(weights: EncodedWeights) -> None:
    """Raise CorruptUpdate when the payload is not what was sent."""
    if (crc32 := zlib.crc32(weights.payload)) != weights.crc32:
        raise CorruptUpdate(f'payload of {len(weights.payload)} bytes: expected CRC-32 '
                            f'{weights.crc32:08x}, got {crc32:08x}')


def check_specs(
    specs: Sequence[TensorSpec], dtype: np.dtype[Any], shapes: Mapping[str, tuple[int, ...]],
) -> int:
    """
    Return the bytes that the tensors take one after the other.

    Raise LayoutMismatch when they are not ``shapes``, CorruptUpdate when a spec says another
    place. What a spec says of itself is only compared, never computed with.
    """
    actual = {spec.name: spec.shape for spec in specs}
    if actual != dict(shapes) or len(actual) != len(specs):
        odd = sorted(actual.items() ^ dict(shapes).items())
        raise LayoutMismatch(f'expected {len(shapes)} tensors, got {len(specs)}; '
                             f'first difference: {odd[0] if odd else "a repeated name"}')
    offset = 0
    for spec in specs:
        expected = math.prod(spec.shape) * dtype.itemsize
        if (spec.dtype, spec.offset, spec.length) != (dtype.name, offset, expected):
            raise CorruptUpdate(
                f'{spec.name}: expected {dtype.name} at {offset}+{expected}, '
                f'got {spec.dtype} at {spec.offset}+{spec.length}')
        offset += expected
    return offset
