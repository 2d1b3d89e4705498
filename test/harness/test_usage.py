# SPDX-License-Identifier: Apache-2.0
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from shadowtutor_ros.harness.usage import Usage, usage_of

_MIB = 1 << 20


def test_cpu_and_memory_are_the_kernels() -> None:
    before = usage_of(os.getpid())
    block = np.ones(64 * _MIB, np.uint8)
    while (used := usage_of(os.getpid()).since(before)).cpu_seconds < 0.2:
        block += 1
    del block
    after, known = usage_of(os.getpid()), resource.getrusage(resource.RUSAGE_SELF)
    assert after.cpu_seconds == pytest.approx(known.ru_utime + known.ru_stime, abs=0.1)
    assert after.memory <= 1.05 * (known.ru_maxrss << 10)  # which outlives an exec
    assert after.memory >= used.memory - 16 * _MIB  # though it is given back; nearly exact


def test_a_name_with_brackets_changes_nothing() -> None:
    named = "import sys; open('/proc/self/comm', 'w').write('a) 9 9 9 (b'); print(flush=True); " \
            'sys.stdin.read()'
    with subprocess.Popen([sys.executable, '-c', named], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        usage = usage_of(process.pid)
        process.communicate()
    assert 0 <= usage.cpu_seconds < 2  # not its page faults
    assert usage.memory > _MIB


def test_a_process_that_has_gone_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, '-c', ''])
    process.wait()
    with pytest.raises(OSError):
        usage_of(process.pid)


def test_what_is_taken_later() -> None:
    assert Usage(5.0, 300).since(Usage(2.0, 200)) == Usage(3.0, 300)
