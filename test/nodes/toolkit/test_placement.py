# SPDX-License-Identifier: Apache-2.0
"""CPUs, priorities and thread counts of a node's computing."""

from __future__ import annotations

import os
import threading

import pytest

from shadowtutor_ros.nodes.toolkit.placement import default_threads, parse_cpus, place_thread

FIRST = min(os.sched_getaffinity(0))


@pytest.mark.parametrize(('cores', 'threads'), [(1, 1), (2, 1), (4, 3), (6, 5)])
def test_a_core_is_left_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, cores: int, threads: int,
) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(cores)))
    assert default_threads(set()) == threads
    assert default_threads({0, 2}) == 2


def test_lists_of_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'sched_getaffinity', lambda pid: set(range(6)))
    assert parse_cpus('') == set()
    assert parse_cpus('3') == {3}
    assert parse_cpus('0, 2-4') == {0, 2, 3, 4}


@pytest.mark.parametrize('text', ['a', '1-', '-1', '1-x', '0;1', '1 2', '4-2', ',', '0,', '1--2'])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match='cpus: '):
        parse_cpus(text)


def test_a_cpu_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r'cpus: \[4096\] are not among'):
        parse_cpus('4096')


def test_only_the_thread_itself_is_placed() -> None:
    before = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    nicer = min(19, before[1] + 1)
    seen = []

    def work() -> None:
        place_thread({FIRST}, nicer)
        seen.append((os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [({FIRST}, nicer)]
    assert (os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)) == before
