# SPDX-License-Identifier: Apache-2.0
"""The torch device that a name means on this machine."""

import torch


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
