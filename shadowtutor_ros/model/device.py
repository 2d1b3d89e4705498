# SPDX-License-Identifier: Apache-2.0
"""The torch device that a name means on this machine, and whether it is broken."""

import torch

from shadowtutor_ros.model.host_memory import free_host_memory

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
    return free_host_memory()


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
