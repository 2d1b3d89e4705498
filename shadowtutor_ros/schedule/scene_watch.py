# SPDX-License-Identifier: Apache-2.0
"""Whether a stream shows another scene, by what its lessons start from: no clock, no thread."""

from __future__ import annotations

import math

_FAR_BELOW = 0.75  # of what is usual
_KEEPS = 0.8  # of the mean so far, at each lesson
_LEAST = 3  # lessons before anything is usual


class SceneWatch:
    """
    A running mean of the metric that lessons start from, 0-1; NaN before the first.

    The scene has changed when a lesson starts below three quarters of it, from the fourth on.
    """

    def __init__(self, usual: float = math.nan, lessons: int = 0) -> None:
        self.usual, self.lessons = usual, lessons

    def changed(self, initial_metric: float) -> bool:
        """Say whether a lesson that starts like this is about another scene."""
        return self.lessons >= _LEAST and initial_metric < _FAR_BELOW * self.usual

    def add(self, initial_metric: float) -> None:
        """Take note of what a lesson started from."""
        self.usual = (initial_metric if not self.lessons
                      else _KEEPS * self.usual + (1 - _KEEPS) * initial_metric)
        self.lessons += 1
