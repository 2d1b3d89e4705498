# SPDX-License-Identifier: Apache-2.0
"""From a coarse map to a finer one."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F


def upsample(x: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Return ``x`` at ``size`` (h, w), bilinear, pixel centres as in the paper's framework."""
    return F.interpolate(x, size=tuple(size), mode='bilinear', align_corners=False)
