# SPDX-License-Identifier: Apache-2.0
"""How much memory something takes while it works."""

from collections.abc import Iterator
from contextlib import contextmanager
import ctypes
from pathlib import Path


def memory(key: str) -> int:
    """Return a size of this process in bytes: ``VmRSS`` now, ``VmHWM`` at most, ``VmSize``."""
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{key}:'):
            return int(line.split()[1]) << 10
    raise KeyError(key)


def forget_peak() -> None:
    """Let ``VmHWM`` begin at what there is now; what malloc keeps is given back first."""
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    """Expect no more to be taken than that."""
    forget_peak()
    before = memory('VmRSS')
    yield
    taken = memory('VmHWM') - before >> 20
    assert taken <= megabytes, f'{taken} MB'
