# SPDX-License-Identifier: Apache-2.0
"""What a process may still take of its machine's memory, also in a container that has a limit."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path, PurePosixPath
import re

_MEMINFO = Path('/proc/meminfo')
_OWN_CGROUPS = Path('/proc/self/cgroup')
_CGROUPS = Path('/sys/fs/cgroup')
# By the controller's name in _OWN_CGROUPS, '' is version 2: where its groups lie, the files of a
# limit and of what is used, and what memory.stat calls files that can be read again.
_VERSIONS = {'': ('', 'memory.max', 'memory.current', 'inactive_file'),
             'memory': ('memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes',
                        'total_inactive_file')}


def free_host_memory() -> int:
    """Return the bytes that the machine can still give, and every control group allows."""
    return min([_of_the_machine(), *_of_control_groups()])


def _of_the_machine() -> int:
    try:
        available = re.search(r'^MemAvailable: *(\d+) kB$', _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        available = None
    if available is not None:  # with what files take that can be read again
        return int(available[1]) << 10
    return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def _of_control_groups() -> Iterator[int]:
    """Yield what this process's groups and those around them leave; nothing without a limit."""
    try:
        lines = _OWN_CGROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, own = line.split(':', 2)
        for controller in controllers.split(','):
            if controller not in _VERSIONS:
                continue
            folder, limit, used, files = _VERSIONS[controller]
            path = PurePosixPath(own.lstrip('/'))
            for group in (path, *path.parents):  # in a container only the last may be seen
                room = _room(_CGROUPS / folder / group, limit, used, files)
                if room is not None:
                    yield room


def _room(group: Path, limit: str, used: str, files: str) -> int | None:
    try:
        most, taken = (int((group / name).read_text()) for name in (limit, used))
        stat = re.search(rf'^{files} (\d+)$', (group / 'memory.stat').read_text(), re.MULTILINE)
    except (OSError, ValueError):  # 'max': no limit
        return None
    return max(0, most - taken + (int(stat[1]) if stat else 0))
