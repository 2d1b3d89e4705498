# SPDX-License-Identifier: Apache-2.0
"""The torch device that a name means on this machine, and whether it is broken."""

import os
from pathlib import Path
import re

import torch

_MEMINFO = Path('/proc/meminfo')
_BROKEN = getattr(torch, 'AcceleratorError', ())  # torch before 2.8 has no name for it


def is_broken(error: BaseException) -> bool:
    """Say whether ``error`` is of a device that this process cannot use any more."""
    return isinstance(error, _BROKEN) or (
        isinstance(error, RuntimeError) and 'CUDA error' in str(error))


def free_memory(device: torch.device) -> int:
    """Return the bytes that a device, or the host for a CPU, can still give."""
    if device.type == 'cuda':
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    try:
        available = re.search(r'^MemAvailable: *(\d+) kB$', _MEMINFO.read_text(), re.MULTILINE)
    except OSError:
        available = None
    if available is not None:  # with what files take that can be read again
        return int(available[1]) << 10
    return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def pick_device(name: str) -> torch.device:
    """
    Return the device of ``name``; ``auto`` is CUDA where there is one, else the CPU.

    Raise ValueError for a device that torch does not know or this machine does not have.
    """
    if name == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f'device: expected auto, cpu, cuda or cuda:N, got {name!r}') from error
    if device.type == 'cuda' and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f'device {name!r}: this machine has {torch.cuda.device_count()} '
                         'CUDA devices that torch can use')
    return device
