# SPDX-License-Identifier: Apache-2.0
"""Kernels of convolutions as frequencies: pixels side by side learn nearly the same."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_LENGTH = 3  # of a kernel's side; others stay as they are
# The orthonormal DCT-II of three values, made of what every machine rounds alike.
_MEAN, _SLOPE, _BEND = (np.float32(1 / math.sqrt(n)) for n in (3, 2, 6))


def to_planes(weights: Array) -> Array:
    """
    Return the float32 OxIx... weights as flat planes: one frequency of all kernels, then the next.

    Weights without kernels (biases, OxI) are only flattened.
    """
    for axis in range(2, weights.ndim):
        if weights.shape[axis] == _LENGTH:
            first, middle, last = np.moveaxis(weights, axis, 0)
            weights = np.stack(((first + middle + last) * _MEAN, (first - last) * _SLOPE,
                                (first + last - 2 * middle) * _BEND), axis)
    return _kernels_first(weights).ravel()


def from_planes(planes: Array, shape: tuple[int, ...]) -> Array:
    """Return the weights of a ``shape`` from ``to_planes``, the same bits on every machine."""
    weights = _kernels_last(planes.reshape(shape[2:] + shape[:2]))
    for axis in range(2, len(shape)):
        if shape[axis] == _LENGTH:
            mean, slope, bend = np.moveaxis(weights, axis, 0)
            mean, slope, bend = mean * _MEAN, slope * _SLOPE, bend * _BEND
            weights = np.stack((mean + slope + bend, mean - 2 * bend, mean - slope + bend), axis)
    return np.require(weights, requirements='C')


def _kernels_first(weights: Array) -> Array:
    return np.moveaxis(weights, (0, 1), (-2, -1)) if weights.ndim > 2 else weights


def _kernels_last(planes: Array) -> Array:
    return np.moveaxis(planes, (-2, -1), (0, 1)) if planes.ndim > 2 else planes
