# SPDX-License-Identifier: Apache-2.0
"""How many workers a pool of tutors shall have: no clock, no thread."""

from __future__ import annotations

GROW_AFTER, SHRINK_AFTER = 5.0, 60.0  # seconds in which it must have been wanted all the time
_SPARE = 0.6  # of what the workers that would be left can do, at most, for one to go


class Scale:
    """Wants between ``least`` and ``most`` workers; ``now`` is in seconds of any one clock."""

    def __init__(self, least: int, most: int) -> None:
        if not 1 <= least <= most:
            raise ValueError(f'expected 1 <= min_workers <= max_workers, got {least} and {most}')
        self._least, self._most = least, most
        self._wish = 0
        self._since = 0.0

    def change(self, now: float, workers: int, overloaded: bool, busy: float) -> int:
        """
        Return how many workers shall come (more than 0) or go (less than 0) now.

        ``overloaded``: one of them shortens its lessons or holds robots back. ``busy`` is how
        many of them work, a share of each added up.
        """
        if workers < self._least:
            return self._least - workers
        wish = 0
        if overloaded and workers < self._most:
            wish = 1
        elif not overloaded and workers > self._least and busy < _SPARE * (workers - 1):
            wish = -1
        if wish != self._wish:
            self._wish, self._since = wish, now
        if wish and now >= self._since + (GROW_AFTER if wish > 0 else SHRINK_AFTER):
            self._since = now
            return wish
        return 0
