# SPDX-License-Identifier: Apache-2.0
"""Traces of links that are good, slow, silent, or become another."""

from __future__ import annotations

from collections.abc import Iterable
import math

from hypothesis import given, strategies as st
import pytest

from shadowtutor_ros.schedule.link_policy import (
    Exchange,
    LinkLimits,
    LinkPolicy,
    MIN_QUALITY,
    MIN_TIMEOUT,
)

FRAME = 0.1  # seconds
LIMITS = LinkLimits(timeout=10.0, quality=90, min_stride=8, max_stride=64)


def _exchange(link: float, tutor: float = 0.4, frame: float = FRAME) -> Exchange:
    return Exchange(100_000, link + tutor, tutor, frame)


def _after(exchanges: Iterable[Exchange], limits: LinkLimits = LIMITS) -> LinkPolicy:
    policy = LinkPolicy(limits)
    for exchange in exchanges:
        policy.on_answer(exchange)
    return policy


def test_before_the_first_answer_the_limits_hold() -> None:
    policy = LinkPolicy(LIMITS)
    assert (policy.timeout, policy.quality, policy.stride_floor) == (10.0, 90, 8)
    assert math.isnan(policy.goodput)


def test_a_good_link_is_asked_for_everything() -> None:
    policy = _after([_exchange(0.02)] * 10)
    assert (policy.timeout, policy.quality, policy.stride_floor) == (MIN_TIMEOUT, 90, 8)
    assert policy.goodput == pytest.approx(100_000 / 0.02)


def test_a_slow_link_gets_smaller_pictures_and_rarer_key_frames() -> None:
    policy = _after([_exchange(2.0)] * 20)
    assert policy.quality == MIN_QUALITY
    assert policy.stride_floor == 40  # 2 s of 4 s
    assert policy.timeout == pytest.approx(3 * 2.4)


def test_a_very_slow_link_meets_the_limits() -> None:
    policy = _after([_exchange(60.0)] * 5)
    assert (policy.timeout, policy.stride_floor) == (10.0, 64)


def test_a_link_that_recovers_is_asked_for_everything_again() -> None:
    policy = _after([_exchange(2.0)] * 20 + [_exchange(0.02)] * 30)
    assert (policy.timeout, policy.quality, policy.stride_floor) == (MIN_TIMEOUT, 90, 8)


def test_one_late_answer_changes_little() -> None:
    policy = _after([_exchange(0.1)] * 10 + [_exchange(1.5)])
    assert policy.quality == 90
    assert policy.stride_floor <= 11


def test_a_slow_tutor_is_not_a_slow_link() -> None:
    policy = _after([_exchange(0.02, tutor=3.0)] * 10)
    assert (policy.quality, policy.stride_floor) == (90, 8)
    assert policy.timeout == pytest.approx(3 * 3.02)


def test_silence_makes_patient_and_an_answer_ends_that() -> None:
    policy = _after([_exchange(0.02)] * 3)
    timeouts = []
    for _ in range(4):
        policy.on_silence()
        timeouts.append(policy.timeout)
    assert timeouts == [6.0, 10.0, 10.0, 10.0]
    assert policy.quality == MIN_QUALITY
    policy.on_answer(_exchange(0.02))
    assert policy.timeout == MIN_TIMEOUT


def test_a_jumpy_turnaround_lengthens_the_timeout() -> None:
    steady = _after([_exchange(1.0)] * 20)
    jumpy = _after([_exchange(0.5), _exchange(1.5)] * 10)
    assert jumpy.timeout > 1.3 * steady.timeout


def test_a_user_may_want_less_than_the_least_quality() -> None:
    policy = _after([_exchange(5.0)] * 9, LinkLimits(quality=30))
    assert policy.quality == 30


def test_an_unknown_frame_rate_changes_neither_stride_nor_quality() -> None:
    policy = _after([_exchange(5.0, frame=math.nan)] * 9)
    assert (policy.quality, policy.stride_floor) == (90, 8)


@given(st.lists(st.one_of(
    st.none(), st.builds(_exchange, st.floats(0, 1e4), st.floats(0, 1e4), st.floats(1e-4, 10)))))
def test_every_trace_stays_within_the_limits(trace: list[Exchange | None]) -> None:
    policy = LinkPolicy(LIMITS)
    for exchange in trace:
        if exchange is None:
            policy.on_silence()
        else:
            policy.on_answer(exchange)
        assert MIN_TIMEOUT <= policy.timeout <= LIMITS.timeout
        assert MIN_QUALITY <= policy.quality <= LIMITS.quality
        assert LIMITS.min_stride <= policy.stride_floor <= LIMITS.max_stride


def test_other_limits_hold_at_once_and_the_link_stays_known() -> None:
    policy = _after([_exchange(5.0)] * 9)
    before = policy.timeout
    policy.change(LinkLimits(timeout=10.0, quality=70, min_stride=9, max_stride=10))
    assert (policy.timeout, policy.quality, policy.stride_floor) == (before, 70, 10)


def test_waiting_for_a_cpu_is_not_a_slow_link() -> None:
    busy = Exchange(100_000, 2.4, 0.4, FRAME, waiting=0.9)
    policy = _after([busy] * 20)
    assert (policy.quality, policy.stride_floor) == (90, 8)
    assert policy.goodput == pytest.approx(100_000 / 0.2)


def test_a_link_that_is_quick_is_never_slow_however_short_a_frame_is() -> None:
    policy = _after([_exchange(0.15, frame=0.001)] * 20)
    assert policy.quality == 90
    assert _after([_exchange(0.25, frame=0.001)] * 20).quality == MIN_QUALITY
