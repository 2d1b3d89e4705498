# SPDX-License-Identifier: Apache-2.0
"""Where a node's computing runs: how many threads, on which CPUs, at which priority."""

from __future__ import annotations

import os


def default_threads() -> int:
    """
    Return how many torch threads suit a robot: one core is left to camera, DDS and executor.

    Threads that wait for each other at every layer lose more by sharing a core than by being
    one fewer.
    """
    return max(1, len(os.sched_getaffinity(0)) - 1)


def parse_cpus(text: str) -> set[int]:
    """
    Return the CPUs of a list as taskset has it, '0,2-4'; none for an empty one.

    Raise ValueError when it cannot be read or names a CPU that this process may not use.
    """
    cpus: set[int] = set()
    for part in filter(None, text.replace(' ', '').split(',')):
        first, dash, last = part.partition('-')
        try:
            cpus |= set(range(int(first), int(last if dash else first) + 1))
        except ValueError as error:
            raise ValueError(f'cpus: expected a list like 0,2-4, got {text!r}') from error
    allowed = os.sched_getaffinity(0)
    if not cpus <= allowed:
        raise ValueError(f'cpus: {sorted(cpus - allowed)} are not among the CPUs that this '
                         f'process may use, {sorted(allowed)}')
    return cpus


def place_thread(cpus: set[int], nice: int) -> None:
    """
    Bind the calling thread, and those it starts from now on, to ``cpus`` (empty: any).

    ``nice`` is its priority, -20 (first) to 19. Raise PermissionError where the user may not
    have it.
    """
    if cpus:
        os.sched_setaffinity(0, cpus)
    if nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
