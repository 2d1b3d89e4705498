# SPDX-License-Identifier: Apache-2.0
"""Whether a device has kernels of its own for what is done at the image's size."""

from __future__ import annotations

from functools import cache
import logging
from types import ModuleType

import torch
from torch import Tensor
import torch.nn.functional as F


def kernels_for(logits: Tensor, size: tuple[int, ...]) -> ModuleType | None:
    """
    Return ``triton_kernels`` if they can work on 1xCxhxw ``logits`` for an image of ``size``.

    That is where ``size`` (H, W) is twice the logits' and a GPU, Triton (torch for CUDA brings
    it) and a C compiler are there and agree with torch. Everywhere else torch's operators do.
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
        if complaint := difference(triton_kernels, device):
            raise RuntimeError(complaint)
    except Exception as error:  # of a compiler, which may be anything
        logging.getLogger(__name__).warning(
            'no Triton kernels, masks and lessons are slower: %s', error)
        return None
    return triton_kernels


def difference(kernels: ModuleType, device: torch.device) -> str:
    """Return what ``kernels`` say on ``device`` that torch's operators do not; mostly nothing."""
    random = torch.Generator().manual_seed(0)
    classes, height, width = 9, 13, 22
    logits = torch.randn(1, classes, height, width, generator=random).to(device)
    label = torch.randint(classes, (2 * height, 2 * width), generator=random).to(device)
    weights = torch.rand(label.shape, generator=random).to(device)
    with torch.inference_mode(False), torch.enable_grad():
        small = logits.clone().requires_grad_()
        whole = F.interpolate(small, scale_factor=2, mode='bilinear')
        loss = (F.cross_entropy(whole, label[None], reduction='none') * weights).mean()
        gradient, = torch.autograd.grad(loss, small)
    answer = kernels.answer_of(logits)
    counts = kernels.counts_of(answer, label, classes).cpu()
    expected = torch.stack([torch.bincount(ids.flatten().long(), minlength=classes) for ids in (
        answer[answer == label].cpu(), answer.cpu(), label.cpu())])
    known_loss, known_gradient = kernels.loss_of(logits, label, weights)
    for name, ours, theirs in (
            ('masks', answer.float(), whole.detach()[0].argmax(0).float()),
            ('counts', counts.float(), expected.float()),
            ('losses', known_loss, loss.detach()),
            ('gradients', known_gradient, gradient)):
        if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-6):
            return f'{name} differ by up to {float((ours - theirs).abs().max()):g}'
    return ''
