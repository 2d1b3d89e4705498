# SPDX-License-Identifier: Apache-2.0
"""Analytic bounds of throughput and network traffic (section 4.4, equations 2-15)."""

from __future__ import annotations

from dataclasses import dataclass, replace
import math

BITS_PER_MEGABIT = 1e6

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """
    Table 1's measurements.

    ``t_si`` student inference, ``t_sd`` one distillation step, ``t_ti`` teacher inference and
    ``t_net`` the network's part of one key frame, in seconds; ``s_net`` bytes of one key frame
    in both directions.
    """

    t_si: float
    t_sd: float
    t_ti: float
    t_net: float
    s_net: float

    def __post_init__(self) -> None:
        for name in ('t_si', 't_sd', 't_ti', 't_net', 's_net'):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f'{name}: expected a number of 0 or more, got {value}')
        if self.t_si == 0:
            raise ValueError('t_si: expected more than 0 seconds')

    def with_bytes(self, s_net: float) -> Measured:
        """Return the same with other bytes per key frame."""
        return replace(self, s_net=s_net)


@dataclass(frozen=True)
class Limits:
    """MIN_STRIDE, MAX_STRIDE (frames) and MAX_UPDATES (steps)."""

    min_stride: int = 8
    max_stride: int = 64
    max_updates: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.min_stride <= self.max_stride:
            raise ValueError('expected 1 <= min_stride <= max_stride, '
                             f'got {self.min_stride} and {self.max_stride}')
        if self.max_updates < 0:
            raise ValueError(f'max_updates: expected 0 or more, got {self.max_updates}')


def key_frame_seconds(m: Measured, min_stride: int) -> Bounds:
    """Return bounds of t_c, the time of the min_stride frames after a key frame (eq. 2)."""
    inference, remote = min_stride * m.t_si, m.t_net + m.t_ti
    return max(inference, remote), inference + remote


def total_seconds(
    m: Measured, min_stride: int, frames: int, key_frames: float, steps: float, t_c: float,
) -> float:
    """Return the time of a run of n frames, k key frames and d steps (eq. 3)."""
    return (frames - key_frames * min_stride) * m.t_si + steps * m.t_sd + key_frames * t_c


def throughput_fps(m: Measured, limits: Limits) -> Bounds:
    """
    Return the least and the largest frames per second (eqs. 14 and 15).

    The least: key frames as often as possible (eq. 9), all steps taken (eq. 6), nothing in
    parallel (eq. 7). The largest: as seldom as possible (eq. 5), no step (eq. 10), inference
    and network in parallel (eq. 11).
    """
    least_t_c, largest_t_c = key_frame_seconds(m, limits.min_stride)
    slowest = total_seconds(m, limits.min_stride, limits.min_stride, 1, limits.max_updates,
                            largest_t_c)
    fastest = total_seconds(m, limits.min_stride, limits.max_stride, 1, 0, least_t_c)
    return limits.min_stride / slowest, limits.max_stride / fastest


def traffic_mbps(m: Measured, limits: Limits) -> Bounds:
    """Return the least and the largest megabits (10^6) per second (eqs. 8 and 12)."""
    least_t_c, largest_t_c = key_frame_seconds(m, limits.min_stride)
    megabits = 8 * m.s_net / BITS_PER_MEGABIT
    longest = total_seconds(m, limits.min_stride, limits.max_stride, 1, limits.max_updates,
                            largest_t_c)
    shortest = total_seconds(m, limits.min_stride, limits.min_stride, 1, 0, least_t_c)
    return megabits / longest, megabits / shortest


def at_bandwidth(m: Measured, mbps: float) -> Measured:
    """Return ``m`` with the time that its bytes need at ``mbps`` (10^6 bits per s) in t_net."""
    return replace(m, t_net=m.t_net + network_seconds(m.s_net, mbps))


def network_seconds(size: float, mbps: float) -> float:
    """Return how long ``size`` bytes are under way at ``mbps`` (10^6 bits per second)."""
    if mbps <= 0:
        raise ValueError(f'bandwidth: expected more than 0 Mbps, got {mbps}')
    return 8 * size / (mbps * BITS_PER_MEGABIT)


def naive_throughput_fps(m: Measured) -> float:
    """Return the frames per second when every frame goes to the teacher and is waited for."""
    return 1 / (m.t_net + m.t_ti)


def largest_max_updates(m: Measured, limits: Limits, fps: float) -> int | None:
    """
    Return the largest MAX_UPDATES whose least throughput is above ``fps`` (section 5.3).

    None when even 0 steps are too slow. Raise ValueError when a step takes no time.
    """
    if m.t_sd <= 0:
        raise ValueError('t_sd: expected more than 0 seconds per step')
    _, t_c = key_frame_seconds(m, limits.min_stride)
    steps = math.ceil((limits.min_stride / fps - t_c) / m.t_sd) - 1
    return steps if steps >= 0 else None


def least_min_stride_for_fps(m: Measured, limits: Limits, fps: float) -> int | None:
    """
    Return the least MIN_STRIDE whose least throughput is ``fps`` or more (equation 14).

    None when the student alone is slower than that.
    """
    spare = 1 / fps - m.t_si
    if spare <= 0:
        return None
    return max(1, math.ceil((m.t_net + m.t_ti + limits.max_updates * m.t_sd) / spare))


def least_min_stride_for_mbps(m: Measured, mbps: float) -> int:
    """Return the least MIN_STRIDE whose largest traffic is ``mbps`` or less (equation 12)."""
    seconds = network_seconds(m.s_net, mbps)
    return 1 if m.t_net + m.t_ti >= seconds else math.ceil(seconds / m.t_si)
