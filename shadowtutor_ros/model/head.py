# SPDX-License-Identifier: Apache-2.0
"""
The end of the network, folded: upsampling by 4, out_conv1, out_conv2 and out_conv3 as one step.

Nothing in it is nonlinear. The four by four pixels that SB6's output is upsampled to are
therefore a linear map of the three by three SB6 pixels around: one 3x3 convolution with 16 times
as many channels as classes, at a sixteenth of the pixels. Where the convolutions meet their zero
padding the map is another one; there are three kinds of places along either axis.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import nn, Tensor
import torch.nn.functional as F

FACTOR = 4
# Up to so many classes folding saves multiplications: 288 C per logit in place of 18432 + 32 C,
# and 9216 + 288 C where only the last two layers are folded.
_MOST_CLASSES, _MOST_CLASSES_LAST = 64, 36
_FIRST, _INNER, _LAST = range(3)


def _fold_last(conv2: nn.Conv2d, conv3: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return weight CxMx3x3 and bias of ``conv2`` (3x3) followed by ``conv3`` (1x1)."""
    assert conv2.bias is not None
    assert conv3.bias is not None
    mix = conv3.weight[:, :, 0, 0]
    classes, (_, inner, height, width) = mix.shape[0], conv2.weight.shape
    weight = (mix @ conv2.weight.reshape(-1, inner * height * width)).view(
        classes, inner, height, width)
    return weight, mix @ conv2.bias + conv3.bias


def folds(size: torch.Size, stem_size: tuple[int, int], classes: int) -> bool:
    """Say whether ``folded_head`` can take maps of ``size`` (..., h, w) there, and fast."""
    return (min(size[-2:]) >= 2 and stem_size == (FACTOR * size[-2], FACTOR * size[-1])
            and classes <= _MOST_CLASSES)


def last_layers(x: Tensor, conv2: nn.Conv2d, conv3: nn.Conv2d) -> Tensor:
    """Return ``conv3`` (1x1) of ``conv2`` (3x3) of ``x``."""
    if conv3.out_channels > _MOST_CLASSES_LAST:
        out: Tensor = conv3(conv2(x))
        return out
    # Weights are few: rounding them to half precision before they are summed is a needless loss.
    with torch.autocast(x.device.type, enabled=False):
        weight, bias = _fold_last(conv2, conv3)
    return F.conv2d(x, weight, bias, padding=1)


def folded_head(x: Tensor, conv1: nn.Conv2d, conv2: nn.Conv2d, conv3: nn.Conv2d) -> Tensor:
    """
    Return the NxCx4hx4w logits of SB6's output NxMxhxw, with h and w 2 or more.

    Equal to bilinear upsampling followed by the three convolutions, but for rounding.
    """
    with torch.autocast(x.device.type, enabled=False):
        kernels, biases = _fold(conv1, conv2, conv3)
    height, width = x.shape[-2:]
    cells = torch.cat([
        torch.cat([
            F.conv2d(x[..., rows, columns], kernels[row, column][:, :, row_taps, column_taps],
                     biases[row, column])
            for column, columns, column_taps in _places(width)], 3)
        for row, rows, row_taps in _places(height)], 2)
    classes = conv3.weight.shape[0]
    pixels = cells.permute(0, 2, 3, 1).reshape(-1, height, width, FACTOR, FACTOR, classes)
    return pixels.transpose(2, 3).reshape(
        -1, FACTOR * height, FACTOR * width, classes).permute(0, 3, 1, 2)


def _places(size: int) -> list[tuple[int, slice, slice]]:
    """Return the kinds of places along an axis with their inputs and the taps that they have."""
    inner = [(_INNER, slice(0, size), slice(0, 3))] if size > 2 else []
    return [(_FIRST, slice(0, 2), slice(1, 3)), *inner,
            (_LAST, slice(size - 2, size), slice(0, 2))]


def _fold(conv1: nn.Conv2d, conv2: nn.Conv2d, conv3: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Return kernels 3x3x(16C)xMx3x3 and biases 3x3x(16C) by kind of row and of column."""
    weight, bias = _fold_last(conv2, conv3)
    assert conv1.bias is not None
    classes, middle, inputs = weight.shape[0], weight.shape[1], conv1.weight.shape[1]
    taps, inside = _axis(weight.device, weight.dtype)
    # For every pair of a tap of the second and one of the first convolution ...
    pairs = (weight.permute(2, 3, 0, 1).reshape(9 * classes, middle)
             @ conv1.weight.permute(0, 2, 3, 1).reshape(middle, 9 * inputs))
    pairs = pairs.view(3, 3, classes, 3, 3, inputs).permute(0, 3, 1, 4, 2, 5)
    # ... where in SB6's output it reads: first along rows, then along columns.
    kernels = torch.matmul(taps, (taps @ pairs.reshape(9, -1)).view(
        36, 9, classes * inputs))
    kernels = kernels.view(3, FACTOR, 3, 3, FACTOR, 3, classes, inputs)
    kernels = kernels.permute(0, 3, 1, 4, 6, 2, 5, 7).reshape(
        3, 3, -1, 3, 3, inputs).permute(0, 1, 2, 5, 3, 4)
    offsets = (weight.permute(2, 3, 0, 1) @ conv1.bias).view(3, 3 * classes)
    offsets = torch.matmul(inside, (inside @ offsets).view(12, 3, classes)) + bias
    offsets = offsets.view(3, FACTOR, 3, FACTOR, classes).transpose(1, 2)
    return kernels, offsets.reshape(3, 3, -1)


@cache
def _axis(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """
    Return two maps along one axis.

    The first says what a pixel takes of SB6's output, (kind, pixel, cell) x (tap of conv2, tap of
    conv1); the second which taps of conv2 fall on a pixel that exists, (kind, pixel) x (tap).
    """
    cells = 3
    pixels = cells * FACTOR
    taps = torch.zeros(3, FACTOR, 3, 3, 3)
    inside = torch.zeros(3, FACTOR, 3)
    for kind in (_FIRST, _INNER, _LAST):  # of three cells in a row each is of another kind
        for pixel in range(FACTOR):
            for second in range(3):
                middle = kind * FACTOR + pixel + second - 1
                if not 0 <= middle < pixels:
                    continue
                inside[kind, pixel, second] = 1
                for first in range(3):
                    source = middle + first - 1
                    if not 0 <= source < pixels:
                        continue
                    place = max(0.0, (source + 0.5) / FACTOR - 0.5)
                    below = min(int(place), cells - 1)
                    above = min(below + 1, cells - 1)
                    share = place - below
                    taps[kind, pixel, below - kind + 1, second, first] += 1 - share
                    if share:
                        taps[kind, pixel, above - kind + 1, second, first] += share
    with torch.inference_mode(False):  # for training too, whoever asks first
        return (taps.view(3 * FACTOR * 3, 9).to(device, dtype, copy=True),
                inside.view(3 * FACTOR, 3).to(device, dtype, copy=True))
