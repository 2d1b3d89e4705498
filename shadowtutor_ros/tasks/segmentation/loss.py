# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy that looks harder at the objects (section 5.2)."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
import torch.nn.functional as F

from shadowtutor_ros.tasks.segmentation.kernels import kernels_for
from shadowtutor_ros.tasks.segmentation.upsample import upsample
from shadowtutor_ros.upload import upload


def pixel_weights(
    size: tuple[int, ...],
    boxes: NDArray[np.float32],
    object_weight: float,
    margin: float,
    device: str | torch.device = 'cpu',
) -> Tensor:
    """
    Return HxW float32 weights on ``device``: ``object_weight`` in and near the boxes, 1 elsewhere.

    ``size`` is (H, W). ``boxes`` is Nx4 (x1, y1, x2, y2) in pixels; each grows by ``margin``
    times its own width and height on every side, clipped to the image.
    """
    height, width = size
    x1, y1, x2, y2 = boxes.astype(np.float64).reshape(-1, 4).T
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    edges = upload(np.stack([np.floor(y1 - dy), np.ceil(y2 + dy),
                             np.floor(x1 - dx), np.ceil(x2 + dx)]).astype(np.float32), device)
    top, bottom, left, right = edges
    row = torch.arange(height, device=device)[:, None]
    column = torch.arange(width, device=device)[:, None]
    rows, columns = (row >= top) & (row < bottom), (column >= left) & (column < right)
    # How many boxes a pixel is in: all at once, so that no device is asked for each of them.
    inside = rows.float() @ columns.float().T
    return torch.where(inside > 0, object_weight, 1.0)


def distillation_loss(logits: Tensor, label: Tensor, weights: Tensor) -> Tensor:
    """
    Return the mean over all pixels of the weighted cross-entropy.

    ``logits`` is 1xCxHxW, ``label`` 1xHxW int64 class ids, ``weights`` HxW.
    """
    return (F.cross_entropy(logits, label, reduction='none') * weights).mean()


class DistillationLoss:
    """
    The ``distillation_loss`` of one key frame by logits at half its size.

    ``label`` is HxW int64 class ids, ``weights`` HxW. On a CPU, if H and W are exactly twice the
    logits', these are upsampled a few rows at a time, which stay in its cache; on a GPU that has
    ``triton_kernels`` they are never upsampled.
    """

    def __init__(self, label: Tensor, weights: Tensor) -> None:
        self._label = label
        self._weights = weights
        self._phases: tuple[Tensor, Tensor] | None = None
        if label.device.type == 'cpu' and label.shape[0] % 2 == label.shape[1] % 2 == 0:
            self._phases = _phases(label), _phases(weights / label.numel())

    def copy_(self, other: DistillationLoss) -> None:
        """Become the loss of another key frame of the same size."""
        for own, theirs in zip(self._all, other._all):
            own.copy_(theirs)

    @property
    def _all(self) -> tuple[Tensor, ...]:
        return self._label, self._weights, *(self._phases or ())

    def __call__(self, logits: Tensor) -> Tensor:
        """Return the loss of 1xCxhxw ``logits`` as a scalar that has gradients."""
        height, width = self._label.shape
        loss: Tensor
        small = (1, logits.shape[1], height // 2, width // 2)
        if (logits.dtype == torch.float32
                and (kernels := kernels_for(logits, self._label.shape)) is not None):
            loss = _LossOfKernels.apply(  # type: ignore[no-untyped-call]
                logits, self._label, self._weights, kernels)
        elif (self._phases is not None and logits.shape == small
                and logits.dtype == self._weights.dtype == torch.float32):
            loss = _UpsampledLoss.apply(  # type: ignore[no-untyped-call]
                logits, *self._phases)
        else:
            loss = distillation_loss(
                upsample(logits, (height, width)), self._label[None], self._weights)
        return loss


_LEAST_EXPONENT = -60.0  # exp() of less is lost beside 1, and slow: a denormal number
_BAND = 32768  # per class at a time: more leave the cache, fewer make many small calls


def _phases(image: Tensor) -> Tensor:
    """Return HxW as 2x2xhxw: the pixels above, below, left and right of every logit's centre."""
    height, width = image.shape
    return image.view(height // 2, 2, width // 2, 2).permute(1, 3, 0, 2).contiguous()


class _UpsampledLoss(torch.autograd.Function):
    """Cross-entropy of logits upsampled by two; the gradient is made beside the loss."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, weights: Tensor) -> Tensor:
        # One logit more on every side, as far as bilinear upsampling goes on there.
        padded = F.pad(logits.contiguous(), (1, 1, 1, 1), mode='replicate')[0]
        gradient = torch.zeros_like(padded)
        loss = torch.zeros((), dtype=padded.dtype)
        height, width = label.shape[2:]
        step = max(1, _BAND // width)
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            halo = slice(rows.start, rows.stop + 2)
            columns = _between(padded[:, halo], -1)
            values = _between(columns, -2)
            loss += _cross_entropy_(values, label[:, :, None, rows], weights[:, :, None, rows])
            _add_between_transposed(columns.zero_(), values, -2)
            _add_between_transposed(gradient[:, halo], columns, -1)
        for edge, inner in ((0, 1), (-1, -2)):
            gradient[:, inner] += gradient[:, edge]
        for edge, inner in ((0, 1), (-1, -2)):
            gradient[:, :, inner] += gradient[:, :, edge]
        ctx.save_for_backward(gradient[None, :, 1:-1, 1:-1])
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        gradient, = ctx.saved_tensors
        return gradient * scale, None, None


class _LossOfKernels(torch.autograd.Function):
    """The same on a GPU."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, label: Tensor, weights: Tensor, kernels: ModuleType,
    ) -> Tensor:
        loss: Tensor
        loss, gradient = kernels.loss_of(logits, label, weights)
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None, None]:
        gradient, = ctx.saved_tensors
        return gradient * scale, None, None, None


def _between(x: Tensor, axis: int) -> Tensor:
    """Return 2 x ...: a quarter of the way back and forth from all but the ends of ``axis``."""
    size = x.shape[axis] - 2
    centre = x.narrow(axis, 1, size)
    out = x.new_empty(2, *centre.shape)
    torch.lerp(centre, x.narrow(axis, 0, size), 0.25, out=out[0])
    torch.lerp(centre, x.narrow(axis, 2, size), 0.25, out=out[1])
    return out


def _add_between_transposed(x: Tensor, out: Tensor, axis: int) -> None:
    """Add to ``x`` the transposed map of ``_between`` of ``out``."""
    size = x.shape[axis] - 2
    for neighbour, part in zip((0, 2), out.unbind(0)):
        x.narrow(axis, neighbour, size).add_(part, alpha=0.25)
        x.narrow(axis, 1, size).add_(part, alpha=0.75)


def _cross_entropy_(values: Tensor, label: Tensor, weights: Tensor) -> Tensor:
    """
    Return the weighted cross-entropy of ``values``, and put its gradient in their place.

    ``values`` are 2x2xCxRxW, ``label`` and ``weights`` 2x2x1xRxW.
    """
    values -= values.amax(2, keepdim=True)
    wanted = values.gather(2, label)
    total = values.clamp_(min=_LEAST_EXPONENT).exp_().sum(2, keepdim=True)
    loss = (weights * (total.log() - wanted)).sum()
    values *= weights / total
    values.scatter_add_(2, label, -weights)
    return loss
