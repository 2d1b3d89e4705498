# SPDX-License-Identifier: Apache-2.0
"""How long threads waited for a CPU: what a busy machine adds to an exchange."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
import threading
import time

_THREADS = Path('/proc/self/task')
_STARVED, _HOPELESS = 0.5, 0.9  # shares from which on waiting counts, and up to which


class CpuWaiting:
    """
    The Python threads of this process from now on, but those named ``without``.

    Linux counts how long each was ready and had no CPU; elsewhere nobody waits.
    """

    def __init__(self, without: Collection[str] = ()) -> None:
        self._since = time.perf_counter()
        self._before = {thread.native_id: _waited(thread.native_id)
                        for thread in threading.enumerate() if thread.name not in without}

    def share(self) -> float:
        """Return the part of the time, 0-1, that the thread which had to wait most has waited."""
        passed = time.perf_counter() - self._since
        most = max((_waited(thread) - before for thread, before in self._before.items()),
                   default=0.0)
        return min(1.0, max(0.0, most / passed)) if passed > 0 else 0.0


class Patience:
    """
    How much longer than usual others may take: this process's threads wait for a CPU, too.

    It is they since the last two times that it was told to ``begin``.
    """

    def __init__(self) -> None:
        self._before, self._waiting = 0.0, CpuWaiting()

    def begin(self) -> None:
        """Look at the time from now on, and at that since the last call."""
        self._before, self._waiting = self._waiting.share(), CpuWaiting()

    def factor(self) -> float:
        """Return 1, or on a machine that is starved 2 to 10."""
        share = max(self._before, self._waiting.share())
        return 1.0 if share < _STARVED else 1.0 / (1.0 - min(share, _HOPELESS))


def _waited(native_id: int | None) -> float:
    try:
        fields = (_THREADS / str(native_id) / 'schedstat').read_text().split()
        return int(fields[1]) * 1e-9
    except (OSError, IndexError, ValueError):  # it has ended meanwhile, or nobody counts
        return 0.0
