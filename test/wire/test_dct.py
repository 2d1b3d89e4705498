# SPDX-License-Identifier: Apache-2.0
"""Kernels as frequencies: nothing is lost, evenness is one number, the bits are known."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from shadowtutor_ros.wire.dct import from_planes, to_planes

SHAPES = [(), (5,), (4, 3), (2, 4, 3, 3), (2, 4, 3, 1), (2, 4, 1, 3), (3, 3, 1, 1), (2, 4, 5, 3),
          (2, 4, 3), (2, 2, 3, 3, 3), (0, 4, 3, 3)]


def _weights(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_what_comes_back_is_what_went_in(shape: tuple[int, ...]) -> None:
    weights = _weights(shape)
    back = from_planes(to_planes(weights), shape)
    assert (back.shape, back.dtype) == (shape, np.float32)
    assert back.flags.c_contiguous
    np.testing.assert_allclose(back, weights, atol=1e-6)


@pytest.mark.parametrize('shape', SHAPES, ids=str)
def test_lengths_are_kept(shape: tuple[int, ...]) -> None:
    weights = _weights(shape)
    planes = to_planes(weights)
    assert (planes.shape, planes.dtype) == ((weights.size,), np.float32)
    assert np.square(planes).sum() == pytest.approx(np.square(weights).sum(), rel=1e-5)


def test_an_even_kernel_is_one_number_and_the_first_plane_has_it() -> None:
    means = _weights((2, 4))
    planes = to_planes(np.repeat(means, 9).reshape(2, 4, 3, 3)).reshape(9, 2, 4)
    np.testing.assert_allclose(planes[0], 3 * means, rtol=1e-6)
    np.testing.assert_allclose(planes[1:], 0, atol=1e-6)


def test_a_slope_along_the_width_is_in_the_second_plane() -> None:
    slope = np.broadcast_to(np.array([1, 0, -1], np.float32), (1, 1, 3, 3))
    planes = to_planes(slope)
    assert planes[1] == pytest.approx(np.sqrt(6))
    assert np.count_nonzero(planes) == 1


def test_what_has_no_kernel_stays_as_it_is() -> None:
    for shape in ((5,), (4, 3), (3, 3, 1, 1), (2, 4, 5, 7)):
        weights = _weights(shape)
        np.testing.assert_array_equal(np.sort(to_planes(weights)), np.sort(weights.ravel()))
        np.testing.assert_array_equal(from_planes(to_planes(weights), shape), weights)


def _rounded(value: float) -> float:
    """Return the float32 next to a sum or product of two float32, which float64 holds."""
    return float(struct.unpack('<f', struct.pack('<f', value))[0])


def test_every_step_of_the_way_back_is_rounded_by_itself() -> None:
    """Robot and tutor may be of different makes; both must get exactly these bits."""
    planes = 1000 * _weights((200, 3))
    scales = [_rounded(1 / math.sqrt(n)) for n in (3, 2, 6)]
    expected = []
    for values in planes.tolist():
        mean, slope, bend = (_rounded(v * s) for v, s in zip(values, scales))
        expected.append([_rounded(_rounded(mean + slope) + bend), _rounded(mean - 2 * bend),
                         _rounded(_rounded(mean - slope) + bend)])
    weights = from_planes(planes.T.ravel(), (200, 1, 3, 1))
    assert weights.reshape(200, 3).tolist() == expected
