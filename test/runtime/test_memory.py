# SPDX-License-Identifier: Apache-2.0
"""Freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: the setting cannot be taken back.
SCRIPT = """
import resource, sys
import torch
from shadowtutor_ros.runtime.memory import keep_freed_memory
if sys.argv[1] == 'keep' and not keep_freed_memory():
    sys.exit(77)
torch.set_num_threads(1)
for _ in range(20):  # until the heap has its size
    torch.ones(20 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(20 << 20)  # 80 MB: 20480 pages
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(mode: str) -> int:
    done = subprocess.run([sys.executable, '-c', SCRIPT, mode], capture_output=True, text=True,
                          check=False)
    if done.returncode == 77:
        pytest.skip('another C library than glibc')
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_the_same_memory_is_used_again_without_page_faults() -> None:
    assert 3 * _faults('keep') < _faults('default')
