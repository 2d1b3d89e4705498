# SPDX-License-Identifier: Apache-2.0
"""Whether a device has kernels of its own for what is done at the image's size."""

from __future__ import annotations

from functools import cache
import logging
from types import ModuleType

import torch
from torch import Tensor


def kernels_for(logits: Tensor, size: tuple[int, ...]) -> ModuleType | None:
    """
    Return ``triton_kernels`` if they can work on 1xCxhxw ``logits`` for an image of ``size``.

    That is where there is Triton, which torch for CUDA brings, and a C compiler, which it needs,
    and where ``size`` (H, W) is twice the logits'. Everywhere else torch's own operators do.
    """
    if logits.is_cuda and tuple(size) == (2 * logits.shape[2], 2 * logits.shape[3]):
        return _kernels(logits.device)
    return None


def kernels_on(device: torch.device) -> ModuleType | None:
    """Return ``triton_kernels`` if the device can run them."""
    return _kernels(device) if device.type == 'cuda' else None


@cache
def _kernels(device: torch.device) -> ModuleType | None:
    try:
        from shadowtutor_ros.tasks.segmentation import triton_kernels
        triton_kernels.answer_of(torch.zeros(1, 2, 2, 2, device=device))
    except Exception as error:  # of a compiler, which may be anything
        logging.getLogger(__name__).warning(
            'no Triton kernels, masks and lessons are slower: %s', error)
        return None
    return triton_kernels
