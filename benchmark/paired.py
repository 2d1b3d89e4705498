# SPDX-License-Identifier: Apache-2.0
"""Times and memory side by side: on a shared machine only ratios of one run mean something."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import ctypes
import gc
from pathlib import Path
import statistics
import time

Work = Callable[[], object]
SPREAD = 0.25  # of the rounds of one work, above which others were in the way
WAITED = 0.05


def seconds_of(work: Work) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired_seconds(works: Mapping[str, Work], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every work in every round; in a round each has its turn."""
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds_of(work))
    return times


def speed_up(slow: list[float], fast: list[float]) -> float:
    """Return how many times faster ``fast`` is: the median of the rounds' ratios."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def spread(times: Sequence[float]) -> float:
    """Return by how much the middle half of the rounds differs, as a part of the median."""
    if len(times) < 2:
        return 0.0
    first, middle, third = statistics.quantiles(times, n=4, method='inclusive')
    return (third - first) / middle


def disturbances(seconds: Mapping[str, Mapping[str, list[float]]], waited: float) -> list[str]:
    """
    Return why the times are not to be believed; nothing: nobody was in the way.

    ``waited`` is the part of the time, 0-1, in which the process had no CPU.
    """
    found = [f'rounds of {what} {name} differ by {100 * spread(times):.0f} %'
             for what, of in seconds.items() for name, times in of.items()
             if spread(times) > SPREAD]
    if waited > WAITED:
        found.insert(0, f'this process waited for a CPU {100 * waited:.0f} % of the time')
    return found


def peak_bytes(work: Work) -> int:
    """Return by how many bytes the process grows at most during ``work`` (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts from here
    before = _status('VmRSS')
    work()
    return _status('VmHWM') - before


def _status(name: str) -> int:
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith(f'{name}:'):
            return int(line.split()[1]) * 1024
    raise OSError(f'/proc/self/status has no {name}')
