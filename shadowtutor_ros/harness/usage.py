# SPDX-License-Identifier: Apache-2.0
"""What a process takes of its machine, as Linux counts it."""

from __future__ import annotations

from dataclasses import dataclass
import os
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """
    One process since its start, or in a part of that time.

    ``cpu_seconds`` are those of all its threads; ``memory`` is the most that it ever had resident,
    in bytes.
    """

    cpu_seconds: float
    memory: int

    def since(self, earlier: Usage) -> Usage:
        """Return what was taken after ``earlier``; the most memory stays what it is."""
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.memory)


def usage_of(pid: int) -> Usage:
    """Return what a process has taken so far; raise OSError when there is none."""
    proc = Path(f'/proc/{pid}')
    # The name before the last bracket may have anything in it.
    ticks = (proc / 'stat').read_text().rpartition(')')[2].split()[11:13]
    status = dict(line.split(':', 1) for line in (proc / 'status').read_text().splitlines())
    return Usage(sum(map(int, ticks)) / os.sysconf('SC_CLK_TCK'),
                 int(status['VmHWM'].split()[0]) << 10)
