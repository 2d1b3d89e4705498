# SPDX-License-Identifier: Apache-2.0
"""
Kernels for CUDA devices, in Triton: what is done at the image's size, without logits of that size.

A thread block takes some logits, with all of their classes, and the logits around them. Of their
pixels, which lie between, it makes the classes, or the loss and what each logit has of it.
Numbered as the rows and columns of pixels around a logit: 0 and 3 are nearer to the logit before
and after it, 1 and 2 are its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
import triton
import triton.language as tl

_TILE = 1024  # logits of a block, all classes counted
_PIXELS = 1024  # of a block that counts


def answer_of(logits: Tensor) -> Tensor:
    """Return the HxW uint8 class ids of 1xCxhxw ``logits`` at twice their size."""
    _, classes, height, width = logits.shape
    answer = torch.empty(2 * height, 2 * width, dtype=torch.uint8, device=logits.device)
    padded = triton.next_power_of_2(classes)
    block = max(1, _TILE // padded)
    _answer[(triton.cdiv(height * width, block),)](
        logits, answer, height, width, classes, *logits.stride()[1:], padded, block)
    return answer


def counts_of(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """
    Return 3xC int32: pixels of a class in both contiguous maps, in the first, in the second.

    Where ``label`` has no class, an id of C or more, nothing is counted.
    """
    counts = torch.zeros(3, triton.next_power_of_2(classes + 1), dtype=torch.int32,
                         device=label.device)
    _count[(triton.cdiv(label.numel(), _PIXELS),)](
        prediction, label, counts, label.numel(), classes, counts.shape[1], _PIXELS)
    return counts[:, :classes]


def loss_of(logits: Tensor, label: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return the mean weighted cross-entropy of 1xCxhxw ``logits`` at twice their size; its gradient.

    ``label`` is HxW int64 class ids and ``weights`` HxW float32, both contiguous.
    """
    _, classes, height, width = logits.shape
    padded = triton.next_power_of_2(classes)
    block = max(1, _TILE // padded)
    blocks = triton.cdiv(height * width, block)
    gradient = torch.empty_like(logits, memory_format=torch.channels_last)
    losses = torch.empty(blocks, dtype=torch.float32, device=logits.device)
    _loss[(blocks,)](logits, label, weights, gradient, losses, height, width, classes,
                     1 / label.numel(), *logits.stride()[1:], padded, block)
    return losses.sum(), gradient


@triton.jit
def _tile(
    logits, row, column, height, width, known, along_c, along_y, along_x, padded: tl.constexpr,
):
    """Return BLOCKxPADDED logits, those at the edge for places beyond it."""
    row = tl.minimum(tl.maximum(row, 0), height - 1)
    column = tl.minimum(tl.maximum(column, 0), width - 1)
    classes = tl.arange(0, padded)[None, :]
    place = row * along_y + column * along_x
    return tl.load(logits + place[:, None] + classes * along_c, mask=known,
                   other=float('-inf')).to(tl.float32)


@triton.jit
def _surest(v, classes, padded: tl.constexpr):
    """Return the first of the largest in each row, the last class where none is a number."""
    most = tl.max(v, 1)
    each = tl.arange(0, padded)[None, :]
    return tl.min(tl.where(v == most[:, None], each, classes - 1), 1).to(tl.uint8)


@triton.jit
def _answer(
    logits, answer, height, width, classes, along_c, along_y, along_x,
    padded: tl.constexpr, block: tl.constexpr,
):
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < height * width
    i, j = place // width, place % width
    known = (tl.arange(0, padded) < classes)[None, :] & inside[:, None]
    for a in tl.static_range(2):
        for b in tl.static_range(2):
            y, x = i - 1 + 2 * a, j - 1 + 2 * b
            v = 0.75 * (0.75 * _tile(logits, i, j, height, width, known, along_c, along_y,
                                       along_x, padded)
                         + 0.25 * _tile(logits, i, x, height, width, known, along_c, along_y,
                                        along_x, padded))
            v += 0.25 * (0.75 * _tile(logits, y, j, height, width, known, along_c, along_y,
                                       along_x, padded)
                         + 0.25 * _tile(logits, y, x, height, width, known, along_c, along_y,
                                        along_x, padded))
            tl.store(answer + (2 * i + a) * 2 * width + 2 * j + b, _surest(v, classes, padded),
                     mask=inside)


@triton.jit
def _count(prediction, label, counts, pixels, classes, bins: tl.constexpr, block: tl.constexpr):
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < pixels
    ours = tl.load(prediction + place, mask=inside, other=0).to(tl.int32)
    theirs = tl.load(label + place, mask=inside, other=0).to(tl.int32)
    # What does not count goes into a bin of its own, as does what is no class.
    counted = inside & (theirs < classes)
    ours = tl.where(counted, tl.minimum(ours, classes), classes)
    theirs = tl.where(counted, theirs, classes)
    each = tl.arange(0, bins)
    tl.atomic_add(counts + each, tl.histogram(tl.where(ours == theirs, ours, classes), bins))
    tl.atomic_add(counts + bins + each, tl.histogram(ours, bins))
    tl.atomic_add(counts + 2 * bins + each, tl.histogram(theirs, bins))


@triton.jit
def _pixel(v, label, weights, y, x, height, width, own, scale, inside, padded: tl.constexpr):
    """Return the loss of pixels with logits ``v``, and what a logit has of its gradient."""
    there = inside & (y >= 0) & (y < 2 * height) & (x >= 0) & (x < 2 * width)
    place = y * 2 * width + x
    wanted = tl.load(label + place, mask=there, other=0).to(tl.int32)
    weight = tl.load(weights + place, mask=there, other=0.0) * scale
    hot = tl.arange(0, padded)[None, :] == wanted[:, None]
    most = tl.max(v, 1)
    e = tl.exp(v - most[:, None])
    total = tl.sum(e, 1)
    loss = weight * (tl.log(total) + most - tl.sum(tl.where(hot, v, 0.0), 1))
    gradient = (weight * own)[:, None] * (e / total[:, None] - tl.where(hot, 1.0, 0.0))
    return loss, gradient


@triton.jit
def _row(
    before, here, after, label, weights, y, j, height, width, own, scale, inside,
    padded: tl.constexpr,
):
    """Return what ``_pixel`` does for the four pixels of a row around a logit; loss of its own."""
    edge = 0.75 + tl.where(j == 0, 0.25, 0.0)
    last = 0.75 + tl.where(j == width - 1, 0.25, 0.0)
    _, g0 = _pixel(0.75 * before + 0.25 * here, label, weights, y, 2 * j - 1, height, width,
                   own * 0.25, scale, inside, padded)
    l1, g1 = _pixel(0.25 * before + 0.75 * here, label, weights, y, 2 * j, height, width,
                    own * edge, scale, inside, padded)
    l2, g2 = _pixel(0.75 * here + 0.25 * after, label, weights, y, 2 * j + 1, height, width,
                    own * last, scale, inside, padded)
    _, g3 = _pixel(0.25 * here + 0.75 * after, label, weights, y, 2 * j + 2, height, width,
                   own * 0.25, scale, inside, padded)
    return l1 + l2, g0 + g1 + g2 + g3


@triton.jit
def _loss(
    logits, label, weights, gradient, losses, height, width, classes, scale,
    along_c, along_y, along_x, padded: tl.constexpr, block: tl.constexpr,
):
    place = tl.program_id(0) * block + tl.arange(0, block)
    inside = place < height * width
    i, j = place // width, place % width
    # Blocks reach beyond the last logit: whatever they find there is not kept.
    known = (tl.arange(0, padded) < classes)[None, :] & (place >= 0)[:, None]
    a0 = _tile(logits, i - 1, j - 1, height, width, known, along_c, along_y, along_x, padded)
    a1 = _tile(logits, i - 1, j, height, width, known, along_c, along_y, along_x, padded)
    a2 = _tile(logits, i - 1, j + 1, height, width, known, along_c, along_y, along_x, padded)
    b0 = _tile(logits, i, j - 1, height, width, known, along_c, along_y, along_x, padded)
    b1 = _tile(logits, i, j, height, width, known, along_c, along_y, along_x, padded)
    b2 = _tile(logits, i, j + 1, height, width, known, along_c, along_y, along_x, padded)
    c0 = _tile(logits, i + 1, j - 1, height, width, known, along_c, along_y, along_x, padded)
    c1 = _tile(logits, i + 1, j, height, width, known, along_c, along_y, along_x, padded)
    c2 = _tile(logits, i + 1, j + 1, height, width, known, along_c, along_y, along_x, padded)
    first = 0.75 + tl.where(i == 0, 0.25, 0.0)
    last = 0.75 + tl.where(i == height - 1, 0.25, 0.0)
    _, g0 = _row(0.75 * a0 + 0.25 * b0, 0.75 * a1 + 0.25 * b1, 0.75 * a2 + 0.25 * b2, label,
                 weights, 2 * i - 1, j, height, width, 0.25, scale, inside, padded)
    l1, g1 = _row(0.25 * a0 + 0.75 * b0, 0.25 * a1 + 0.75 * b1, 0.25 * a2 + 0.75 * b2, label,
                  weights, 2 * i, j, height, width, first, scale, inside, padded)
    l2, g2 = _row(0.75 * b0 + 0.25 * c0, 0.75 * b1 + 0.25 * c1, 0.75 * b2 + 0.25 * c2, label,
                  weights, 2 * i + 1, j, height, width, last, scale, inside, padded)
    _, g3 = _row(0.25 * b0 + 0.75 * c0, 0.25 * b1 + 0.75 * c1, 0.25 * b2 + 0.75 * c2, label,
                 weights, 2 * i + 2, j, height, width, 0.25, scale, inside, padded)
    each = tl.arange(0, padded)[None, :]
    tl.store(gradient + place[:, None] * classes + each, g0 + g1 + g2 + g3,
             mask=known & inside[:, None])
    tl.store(losses + tl.program_id(0), tl.sum(l1 + l2, 0))
