# SPDX-License-Identifier: Apache-2.0
"""An array's way to a device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor


def upload(array: NDArray[Any], device: str | torch.device) -> Tensor:
    """
    Return ``array`` on ``device``: on a CPU the same memory, on a GPU a copy.

    Nobody waits for the GPU, and the array may be changed as soon as this returns.
    """
    here = torch.from_numpy(np.ascontiguousarray(array))
    if torch.device(device).type == 'cuda':
        here = here.pin_memory()  # which keeps that memory until the GPU has fetched it
    return here.to(device, non_blocking=True)
