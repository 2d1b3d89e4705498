# SPDX-License-Identifier: Apache-2.0
"""Hands the newest item from a callback to a worker thread."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar('T')


class Mailbox(Generic[T]):
    """Holds one item: a newer one replaces an unread one, which counts as dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Leave ``item`` for the reader; a closed mailbox takes none."""
        with self._changed:
            if self._closed:
                return
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify()

    def take(self) -> T | None:
        """Block until there is an item and return it; None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            if self._closed:
                return None
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Let the reader go; what is unread is forgotten."""
        with self._changed:
            self._closed = True
            self._item = None
            self._changed.notify_all()

    def reopen(self) -> None:
        """Take items again."""
        with self._changed:
            self._closed = False
