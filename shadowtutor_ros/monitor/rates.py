# SPDX-License-Identifier: Apache-2.0
"""Rates from the counters of successive statuses."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import math
from typing import Any

_WINDOW = 5.0  # seconds that a rate looks back: several key frames of a busy robot
_LEAST = 0.5  # seconds: statuses come in bursts, from less no rate can be told
_COUNTERS = ('frames_processed', 'frames_dropped', 'bytes_up', 'bytes_down')


@dataclass(frozen=True)
class Rates:
    """Frames segmented and dropped per second, payload kbit/s to and from the tutor; or NaN."""

    fps: float = math.nan
    dropped: float = math.nan
    up: float = math.nan
    down: float = math.nan


class RateMeter:
    """Rates over the last seconds, by the times at which the statuses came."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, tuple[int, ...]]] = deque()
        self._met = False

    def add(self, status: Any, now: float) -> None:
        """
        Take the counters of ``status``, which came at ``now``, in seconds of any clock.

        The first status is left out: it may be an old one, kept for late joiners. A node that
        has begun to count anew is measured anew.
        """
        counters = tuple(int(getattr(status, name)) for name in _COUNTERS)
        if self._seen and any(a < b for a, b in zip(counters, self._seen[-1][1])):
            self._seen.clear()
        if self._met:
            self._seen.append((now, counters))
        self._met = True
        while len(self._seen) > 2 and self._seen[1][0] <= now - _WINDOW:
            self._seen.popleft()

    def rates(self) -> Rates:
        """Return the rates at the last status."""
        if not self._seen:
            return Rates()
        (then, before), (now, after) = self._seen[0], self._seen[-1]
        if now < then + _LEAST:
            return Rates()
        fps, dropped, up, down = ((b - a) / (now - then) for a, b in zip(before, after))
        return Rates(fps, dropped, 8e-3 * up, 8e-3 * down)
