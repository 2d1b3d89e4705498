# SPDX-License-Identifier: Apache-2.0
"""Weight codec, inter: int8 differences to weights that the receiver has."""

from __future__ import annotations

from collections.abc import Mapping
import math
import zlib

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.wire.dct import Array, from_planes, to_planes
from shadowtutor_ros.wire.errors import CorruptUpdate, NonFiniteUpdate
from shadowtutor_ros.wire.packing import ByBytes, ByPlanes, LARGEST
from shadowtutor_ros.wire.weights import check_crc, check_specs, EncodedWeights, TensorSpec

DELTA = 'delta'  # of weights
DELTA_DCT = 'delta-dct'  # of the frequencies of kernels

# In RMS of the differences of a tensor of _SIZE weights: few bytes, and mostly harmless. What is
# lost of frequencies is lost of their uneven parts first, and the mask hardly shows it.
COARSE = 1.5
COARSE_DCT = 2.0

# What rounding does to the mask adds up over a tensor's weights: fine steps in small tensors cost
# few bytes and save more of them in large ones than equal steps would.
_SIZE = 2**16
_FINER = 0.75
_INT8 = np.dtype(np.int8)
_PACKINGS: Mapping[str, type[ByBytes | ByPlanes]] = {DELTA: ByBytes, DELTA_DCT: ByPlanes}


def encode_delta(
    base: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    residual: Mapping[str, Array],
    density: float = 1.0,
    step: float = COARSE,
    encoding: str = DELTA,
) -> EncodedWeights:
    """
    Encode ``tensors`` as steps away from ``base``, with one scale per tensor.

    ``encoding`` is DELTA or DELTA_DCT, which takes the same steps in frequencies of kernels.
    ``step`` is in RMS of the differences of a tensor of 65,536 weights; it is finer in smaller
    ones, by the power 3/4 of their size, and coarser where int8 would not reach the peak.
    ``residual`` is what earlier updates left out, by name; it is added where a tensor changed.
    Of all differences only the largest ``density`` (0-1] are sent, as in AMS (ICCV 2021).
    Raise NonFiniteUpdate when a difference is not finite.
    """
    specs: list[TensorSpec] = []
    steps: list[Array] = []
    offset = 0
    for name, tensor in tensors.items():
        fresh = as_array(tensor) - as_array(base[name])
        if not np.isfinite(fresh).all():
            raise NonFiniteUpdate(f'{name} is not finite as {encoding}')
        # What did not change waits: its old residual alone is not worth the bytes.
        wanted = fresh + residual[name] if fresh.any() and name in residual else fresh
        values = to_planes(wanted) if encoding == DELTA_DCT else wanted.ravel()
        scale = _scale(values, step)
        steps.append(np.rint(values / (scale or 1.0)).clip(-LARGEST, LARGEST))
        specs.append(TensorSpec(
            name, tuple(tensor.shape), _INT8.name, scale or 1.0, offset, fresh.size))
        offset += fresh.size
    if density < 1.0:
        _keep_largest(steps, [spec.scale for spec in specs], density)
    numbers = np.concatenate(steps).astype(_INT8)
    payload = _PACKINGS[encoding].pack(numbers)
    return EncodedWeights(encoding, tuple(specs), payload, zlib.crc32(payload))


def decode_delta(weights: EncodedWeights, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """
    Return the fp32 tensors that ``weights`` makes of ``base``, exactly those names.

    The result is the same on every machine, to the bit. Raise CorruptUpdate (checksum, sizes,
    compression), LayoutMismatch (other names or shapes) or NonFiniteUpdate.
    """
    check_crc(weights)
    shapes = {name: tuple(tensor.shape) for name, tensor in base.items()}
    size = check_specs(weights.tensors, _INT8, shapes)
    numbers = _PACKINGS[weights.encoding].unpack(weights.payload, size)
    decoded: dict[str, Tensor] = {}
    for spec in weights.tensors:
        if not (math.isfinite(spec.scale) and spec.scale > 0):
            raise CorruptUpdate(f'{spec.name}: expected a scale above 0, got {spec.scale}')
        part = numbers[spec.offset:spec.offset + spec.length].astype(np.float32)
        with np.errstate(over='ignore', invalid='ignore'):
            # One rounding after the other, by NumPy: a fused multiply-add gives other bits.
            change = part * np.float32(spec.scale)
            values = as_array(base[spec.name]) + (
                from_planes(change, spec.shape) if weights.encoding == DELTA_DCT
                else change.reshape(spec.shape))
        if not np.isfinite(values).all():
            raise NonFiniteUpdate(f'{spec.name} is not finite after the update')
        decoded[spec.name] = torch.from_numpy(values)
    return decoded


def as_array(tensor: Tensor) -> Array:
    """Return a tensor's float32 values in host memory, C-contiguous."""
    array: Array = np.ascontiguousarray(tensor.detach().cpu().numpy(), dtype=np.float32)
    return array


def _scale(wanted: Array, step: float) -> float:
    """Return a step in the differences' own unit, a float32; 0 where there are none."""
    if not wanted.size:
        return 0.0
    rms = math.sqrt(np.square(wanted, dtype=np.float64).mean())
    scale = max(step * (wanted.size / _SIZE) ** _FINER * rms,
                float(np.abs(wanted).max()) / LARGEST)
    return float(np.float32(scale))


def _keep_largest(steps: list[Array], scales: list[float], density: float) -> None:
    """Set all but the largest differences to 0, in place."""
    sizes = np.concatenate([np.abs(s) * scale for s, scale in zip(steps, scales)])
    dropped = sizes.size - math.ceil(density * sizes.size)
    if dropped > 0:
        limit = np.partition(sizes, dropped)[dropped]
        for part, scale in zip(steps, scales):
            part[np.abs(part) * scale < limit] = 0.0
