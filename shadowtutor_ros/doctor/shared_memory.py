# SPDX-License-Identifier: Apache-2.0
"""Shared memory that processes of Fast DDS left behind when they were killed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
import fcntl
from pathlib import Path
import re

from shadowtutor_ros.doctor.finding import Finding, OK, SKIPPED, WARNING
from shadowtutor_ros.doctor.fixes import subcommand

SHARED_MEMORY = 'shared memory'
FOLDER = Path('/dev/shm')
CLEAR = 'doctor --clear-shared-memory'
_SEGMENT = re.compile(r'(fastrtps|fastdds)_[0-9a-f]{16}')  # of one process; its ports are reused
_LOCK = '_el'  # the file beside a segment that its owner has locked
_MANY = 64 << 20  # bytes


def shared_memory(folder: Path = FOLDER) -> Finding:
    """Judge what dead processes hold of ``folder``."""
    if not folder.is_dir():
        return Finding(SKIPPED, SHARED_MEMORY, f'there is no {folder}')
    left = abandoned(folder)
    return judge(len(left), sum(path.stat().st_size for path in left if path.exists()))


def judge(count: int, size: int) -> Finding:
    """Judge by the segments that dead processes have left, and their bytes."""
    if not count:
        return Finding(OK, SHARED_MEMORY, 'nothing is left of killed processes')
    found = f'{count} segments of killed processes take {size / 2**20:.1f} MiB'
    if size < _MANY:
        return Finding(OK, SHARED_MEMORY, f'{found} ({subcommand(CLEAR)})')
    return Finding(WARNING, SHARED_MEMORY, found, subcommand(CLEAR))


def abandoned(folder: Path = FOLDER) -> Sequence[Path]:
    """Return the segments whose owner is dead: nobody has their lock."""
    return [path for path in sorted(folder.iterdir())
            if _SEGMENT.fullmatch(path.name) and _is_dead(path)]


def clear(folder: Path = FOLDER) -> tuple[int, int]:
    """Remove the segments of dead processes; return how many, and their bytes."""
    count = size = 0
    for path in abandoned(folder):
        with suppress(OSError):  # another's, or somebody was faster
            size += path.stat().st_size
            path.unlink()
            path.with_name(path.name + _LOCK).unlink(missing_ok=True)
            count += 1
    return count, size


def _is_dead(segment: Path) -> bool:
    try:
        with segment.with_name(segment.name + _LOCK).open('rb') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, not there yet, or another user's
        return False
    return True
