# SPDX-License-Identifier: Apache-2.0
"""The paper's own arithmetic (sections 5.3 and 6.2), and what the equations promise."""

from __future__ import annotations

from dataclasses import replace
import math

from hypothesis import given, strategies as st
import pytest

from shadowtutor_ros.evaluation.bounds import (
    at_bandwidth,
    key_frame_seconds,
    largest_max_updates,
    least_min_stride_for_fps,
    least_min_stride_for_mbps,
    Limits,
    Measured,
    naive_throughput_fps,
    throughput_fps,
    total_seconds,
    traffic_mbps,
)

PAPER = Measured(t_si=0.143, t_sd=0.013, t_ti=0.044, t_net=0.303, s_net=3.032e6)

seconds = st.floats(1e-3, 10)
measurements = st.builds(Measured, seconds, seconds, seconds, seconds, st.floats(1, 1e8))


def test_the_papers_figures() -> None:
    lower, upper = throughput_fps(PAPER, Limits(8, 64, 8))
    assert round(upper, 2) == 6.99
    assert lower > 5
    assert throughput_fps(PAPER, Limits(8, 64, 9))[0] < 5
    assert largest_max_updates(PAPER, Limits(), 5.0) == 8
    assert [float(f'{mbps:.3g}') for mbps in traffic_mbps(PAPER, Limits())] == [2.53, 21.2]


def test_key_frame_time_is_bounded_by_full_and_no_concurrency() -> None:
    assert key_frame_seconds(PAPER, 8) == pytest.approx((1.144, 1.144 + 0.347))
    assert key_frame_seconds(replace(PAPER, t_net=2.0), 8)[0] == pytest.approx(2.044)


def test_bandwidth_adds_to_the_networks_time() -> None:
    assert at_bandwidth(PAPER, 8.0).t_net == pytest.approx(0.303 + 3.032)
    with pytest.raises(ValueError, match='expected more than 0 Mbps, got 0'):
        at_bandwidth(PAPER, 0)


def test_naive_waits_for_every_frame() -> None:
    assert naive_throughput_fps(PAPER) == pytest.approx(1 / 0.347)


@given(measurements, st.integers(1, 50), st.integers(0, 100), st.integers(0, 20),
       st.integers(1, 40), st.data())
def test_every_possible_run_lies_inside(
    m: Measured, min_stride: int, more: int, max_updates: int, key_frames: int,
    data: st.DataObject,
) -> None:
    """Any strides, steps and overlap that the algorithms allow (equations 3-13)."""
    limits = Limits(min_stride, min_stride + more, max_updates)
    strides = data.draw(st.lists(st.integers(min_stride, limits.max_stride),
                                 min_size=key_frames, max_size=key_frames))
    steps = data.draw(st.integers(0, key_frames * max_updates))
    overlap = data.draw(st.floats(0, 1))
    least, largest = key_frame_seconds(m, min_stride)
    frames = sum(strides)
    total = total_seconds(m, min_stride, frames, key_frames, steps,
                          least + overlap * (largest - least))
    lower, upper = throughput_fps(m, limits)
    assert lower * (1 - 1e-9) <= frames / total <= upper * (1 + 1e-9)
    lower, upper = traffic_mbps(m, limits)
    mbps = 8e-6 * key_frames * m.s_net / total
    assert lower * (1 - 1e-9) <= mbps <= upper * (1 + 1e-9)


@given(measurements, st.integers(1, 30), st.floats(0.1, 30))
def test_the_advised_updates_are_the_last_that_hold(
    m: Measured, min_stride: int, fps: float,
) -> None:
    steps = largest_max_updates(m, Limits(min_stride, 64), fps)
    if steps is None:
        assert throughput_fps(m, Limits(min_stride, 64, 0))[0] <= fps * (1 + 1e-9)
    else:
        assert throughput_fps(m, Limits(min_stride, 64, steps))[0] >= fps * (1 - 1e-9)
        assert throughput_fps(m, Limits(min_stride, 64, steps + 1))[0] <= fps * (1 + 1e-9)


@given(measurements, st.integers(0, 20), st.floats(0.1, 30), st.floats(0.01, 1000))
def test_the_advised_strides_are_the_least_that_hold(
    m: Measured, max_updates: int, fps: float, mbps: float,
) -> None:
    stride = least_min_stride_for_fps(m, Limits(max_updates=max_updates), fps)
    if stride is None:
        assert fps * m.t_si >= 1
    else:
        assert throughput_fps(m, Limits(stride, stride, max_updates))[0] >= fps * (1 - 1e-9)
        if stride > 1:
            fewer = Limits(stride - 1, stride, max_updates)
            assert throughput_fps(m, fewer)[0] <= fps * (1 + 1e-9)
    stride = least_min_stride_for_mbps(m, mbps)
    assert traffic_mbps(m, Limits(stride, stride))[1] <= mbps * (1 + 1e-9)
    if stride > 1:
        assert traffic_mbps(m, Limits(stride - 1, stride))[1] >= mbps * (1 - 1e-9)


@pytest.mark.parametrize(('name', 'value', 'message'), [
    ('t_si', 0.0, 't_si: expected more than 0'), ('t_ti', -1.0, 't_ti: .* got -1'),
    ('s_net', math.nan, 's_net: expected a number of 0 or more, got nan')])
def test_measurements_are_checked(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PAPER, **{name: value})


@pytest.mark.parametrize('limits', [(0, 64, 8), (9, 8, 8), (8, 64, -1)])
def test_limits_are_checked(limits: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match='expected'):
        Limits(*limits)


def test_steps_without_time_have_no_largest_number() -> None:
    with pytest.raises(ValueError, match='t_sd'):
        largest_max_updates(replace(PAPER, t_sd=0.0), Limits(), 5.0)
