# SPDX-License-Identifier: Apache-2.0
"""How many of a camera's images do not arrive, by the gaps in their stamps."""

from __future__ import annotations

from collections import deque
import math

_STEPS = 60  # from image to image that are looked at
_ENOUGH = 20  # of them to say something
_SHORT = 0.2  # the share of steps that is not longer than the camera's period
_OFF = 0.25  # of the period: a step this far from whole periods is irregular
_MANY = 0.2  # the share of images that may get lost without a word
_REGULAR = 0.8  # the share of steps that must not be


class StampGaps:
    """
    Looks at the stamps of the images that arrive, in nanoseconds and in their order.

    Of a camera without a rate, or with stamps that are no times, it says nothing.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._steps: deque[int] = deque(maxlen=_STEPS)

    def see(self, stamp: int) -> None:
        """Take note of an image that arrived."""
        if self._last is not None:
            if stamp > self._last:
                self._steps.append(stamp - self._last)
            else:  # it began again, or its stamps are no times
                self._steps.clear()
        self._last = stamp

    @property
    def many(self) -> str | None:
        """About how many of the images are missing, if they are many: '50 %'."""
        return f'{round(10 * self.missing)}0 %' if self.missing > _MANY else None

    @property
    def missing(self) -> float:
        """The share (0-1) of the camera's latest images that did not arrive; 0: unknown."""
        steps = sorted(self._steps)
        if len(steps) < _ENOUGH:
            return 0.0
        period = steps[math.ceil(_SHORT * len(steps)) - 1]
        periods = [step / period for step in steps]
        regular = sum(abs(each - max(1, round(each))) <= _OFF for each in periods)
        if regular < _REGULAR * len(steps):
            return 0.0
        return 1 - len(steps) / sum(max(1, round(each)) for each in periods)
