# SPDX-License-Identifier: Apache-2.0
"""A lesson that may not take for ever."""

from __future__ import annotations

import time

from shadowtutor_ros.distill.trainer import OnStep


class TimeIsUp(Exception):
    """A lesson has taken as long as any may."""


class LessonWatch:
    """
    Hands a lesson's steps on, and ends it at the first one after ``end`` of time.monotonic().

    ``metrics`` are those from the first look at the weights on, ``steps`` the steps since.
    """

    def __init__(self, end: float, on_step: OnStep | None) -> None:
        self._end, self._on_step = end, on_step
        self.metrics: list[float] = []
        self.steps = 0

    def __call__(self, step: int, metric: float, loss: float) -> None:
        """Take note of a step; raise TimeIsUp."""
        self.metrics = [*self.metrics, metric] if step else [metric]
        self.steps = step
        if self._on_step is not None:
            self._on_step(step, metric, loss)
        if time.monotonic() > self._end:
            raise TimeIsUp
