# SPDX-License-Identifier: Apache-2.0
"""Algorithm 2: two linear pieces and two clamps."""

from __future__ import annotations

from hypothesis import given, strategies as st
import pytest

from shadowtutor_ros.schedule.stride import next_stride

metrics = st.floats(0, 1)
thresholds = st.floats(0.01, 0.99)
strides = st.floats(1, 100)
limits = st.tuples(st.integers(1, 50), st.integers(0, 100)).map(lambda t: (t[0], t[0] + t[1]))


def _ratio(metric: float, threshold: float) -> float:
    """Return what the stride is multiplied by, with clamps out of the way."""
    return next_stride(1e6, metric, threshold, 1, 10**9) / 1e6


@pytest.mark.parametrize('threshold', [0.2, 0.5, 0.8])
@pytest.mark.parametrize(('at', 'expected'), [(0.5, 0.5), (1, 1), (1.5, 1.5), (2, 2)])
def test_pieces_go_through_their_points(threshold: float, at: float, expected: float) -> None:
    metric = at * threshold if at <= 1 else threshold + (at - 1) * (1 - threshold)
    assert _ratio(metric, threshold) == pytest.approx(expected)


@pytest.mark.parametrize(('stride', 'metric', 'expected'), [
    (16, 0.8, 16), (16, 1.0, 32), (16, 0.9, 24), (16, 0.6, 12), (32, 0.4, 16),
    (8, 0.9, 12), (10, 0.84, 12), (9, 0.82, 9.9),  # stays a float
    (8, 0.5, 8), (16, 0.0, 8), (9, 0.7, 8),  # lower clamp
    (64, 0.9, 64), (40, 1.0, 64), (64, 1.0, 64),  # upper clamp
])
def test_papers_constants(stride: float, metric: float, expected: float) -> None:
    assert next_stride(stride, metric, 0.8, 8, 64) == pytest.approx(expected)


def test_no_metric_at_all_is_the_shortest_stride() -> None:
    assert next_stride(64, 0.0, 0.8, 1, 64) == 1


@given(thresholds, metrics)
def test_longer_above_the_threshold_and_shorter_below(threshold: float, metric: float) -> None:
    ratio = _ratio(metric, threshold)
    if ratio < 1 - 1e-6:
        assert metric < threshold
    if ratio > 1 + 1e-6:
        assert metric > threshold
    assert 0 <= ratio <= 2 + 1e-9


@given(thresholds, metrics, metrics)
def test_a_better_metric_never_shortens(threshold: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert _ratio(low, threshold) <= _ratio(high, threshold) + 1e-9


@given(thresholds, metrics, metrics)
def test_each_piece_is_linear(threshold: float, one: float, other: float) -> None:
    for start, length in ((0.0, threshold), (threshold, 1 - threshold)):
        a, b = (start + length * 0.999 * part for part in (one, other))
        middle = (_ratio(a, threshold) + _ratio(b, threshold)) / 2
        assert _ratio((a + b) / 2, threshold) == pytest.approx(middle, abs=1e-5)


@given(strides, metrics, thresholds, limits)
def test_always_within_the_limits(
    stride: float, metric: float, threshold: float, limits: tuple[int, int],
) -> None:
    assert limits[0] <= next_stride(stride, metric, threshold, *limits) <= limits[1]
