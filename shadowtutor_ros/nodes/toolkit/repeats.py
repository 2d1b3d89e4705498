# SPDX-License-Identifier: Apache-2.0
"""What happens again and again is said now and then."""

from __future__ import annotations

import time

from rclpy.node import Node

_PAUSE = 30.0  # seconds until the same is said again


class Repeats:
    """Warns of what is new at once, and of the same as last time after a pause."""

    def __init__(self) -> None:
        self._said = ''
        self._when = 0.0
        self._count = 0  # of times that it was not said since

    def warn(self, node: Node, text: str) -> None:
        """Log ``text``, or count it."""
        now = time.monotonic()
        if text == self._said and now < self._when + _PAUSE:
            self._count += 1
            return
        more = f' ({self._count} more times)' if text == self._said and self._count else ''
        self._said, self._when, self._count = text, now, 0
        node.get_logger().warning(text + more)
