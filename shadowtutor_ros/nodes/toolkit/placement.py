# SPDX-License-Identifier: Apache-2.0
"""Where a node's computing runs: how many threads, on which CPUs, at which priority."""

from __future__ import annotations

import os
import re


def default_threads(cpus: set[int]) -> int:
    """
    Return how many torch threads suit a robot: one CPU is left to camera, DDS and executor.

    With ``cpus`` of its own the computing takes all of them. Threads that wait for each other at
    every layer lose more by sharing a CPU than by being one fewer.
    """
    return len(cpus) or max(1, len(os.sched_getaffinity(0)) - 1)


def parse_cpus(text: str) -> set[int]:
    """
    Return the CPUs of a list as taskset has it, '0,2-4'; none for an empty one.

    Raise ValueError when it cannot be read or names a CPU that this process may not use.
    """
    cpus: set[int] = set()
    for part in text.split(',') if text.strip() else ():
        match = re.fullmatch(r'\s*(\d+)(?:-(\d+))?\s*', part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise ValueError(f'cpus: expected a list like 0,2-4, got {text!r}')
        cpus |= set(range(first, last + 1))
    allowed = os.sched_getaffinity(0)
    if not cpus <= allowed:
        raise ValueError(f'cpus: {sorted(cpus - allowed)} are not among the CPUs that this '
                         f'process may use, {sorted(allowed)}')
    return cpus


def place_thread(cpus: set[int], nice: int) -> None:
    """
    Bind the calling thread, and those it starts from now on, to ``cpus`` (empty: any).

    ``nice`` is its priority, -20 (first) to 19. Raise OSError where the system refuses, for
    example a priority that the user has no right to.
    """
    if cpus:
        os.sched_setaffinity(0, cpus)
    if nice:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
