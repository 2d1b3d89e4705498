# SPDX-License-Identifier: Apache-2.0
"""How long the threads of a process wait for a CPU that others use."""

from collections.abc import Iterator
import os
import subprocess
import sys
import threading
import time

import pytest

from shadowtutor_ros.runtime.waiting import CpuWaiting, Patience

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='only Linux counts')
BURN = 'import os; os.sched_setaffinity(0, {%d})\nprint(flush=True)\nwhile True: pass'


@pytest.fixture
def crowded() -> Iterator[int]:
    """A CPU that two others use all the time."""
    cpu = min(os.sched_getaffinity(0))
    others = [subprocess.Popen([sys.executable, '-c', BURN % cpu], stdout=subprocess.PIPE)
              for _ in range(2)]
    for other in others:
        assert other.stdout is not None
        other.stdout.readline()
    yield cpu
    for other in others:
        other.kill()
        other.communicate()


def compute(cpu: int, name: str) -> threading.Event:
    """Compute for a while on ``cpu``, in a thread of that name; return what ends with it."""
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        os.sched_setaffinity(threading.get_native_id(), {cpu})
        begun.set()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            pass
        ended.wait(60)

    threading.Thread(target=work, name=name, daemon=True).start()
    assert begun.wait(60)
    return ended


def test_a_thread_that_shares_its_cpu_waits(crowded: int) -> None:
    ended = compute(crowded, 'sender')
    waiting, but = CpuWaiting(), CpuWaiting(without=['sender'])
    time.sleep(0.9)
    share, others = waiting.share(), but.share()
    ended.set()
    assert 0.3 < share <= 1.0
    assert others < share / 2


def test_a_thread_that_has_ended_waits_no_more() -> None:
    thread = threading.Thread(target=time.sleep, args=(0.05,))
    thread.start()
    waiting = CpuWaiting()
    thread.join()
    assert 0.0 <= waiting.share() <= 1.0


def test_patience_grows_with_what_this_process_waits_itself(crowded: int) -> None:
    patience = Patience()
    assert patience.factor() == 1.0
    ended = compute(crowded, 'sender')
    patience.begin()
    time.sleep(0.9)
    crowded_factor = patience.factor()
    patience.begin()  # nothing is known of the time from here on
    just_after = patience.factor()
    ended.set()
    assert crowded_factor >= just_after > 1.9
    assert crowded_factor < 10.1
    patience.begin()
    patience.begin()
    assert patience.factor() == 1.0
