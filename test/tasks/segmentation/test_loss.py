# SPDX-License-Identifier: Apache-2.0
"""Weights near and within objects, and the loss that they scale."""

from __future__ import annotations

from collections.abc import Callable
import math

import numpy as np
import pytest
import torch

from shadowtutor_ros.tasks.segmentation import loss as loss_module
from shadowtutor_ros.tasks.segmentation.loss import (
    distillation_loss,
    DistillationLoss,
    pixel_weights,
)
from shadowtutor_ros.tasks.segmentation.upsample import upsample

SIZE = (40, 60)


@pytest.mark.parametrize(('box', 'margin', 'rows', 'columns'), [
    ((20, 10, 40, 30), 0.0, (10, 30), (20, 40)),
    ((20, 10, 40, 30), 0.075, (8, 32), (18, 42)),  # 1.5 pixels, rounded outwards
    ((10, 10, 50, 30), 0.075, (8, 32), (7, 53)),  # 3 in width, 1.5 in height
    ((20.4, 10.4, 20.6, 10.6), 0.0, (10, 11), (20, 21)),
    ((0, 0, 60, 40), 0.075, (0, 40), (0, 60)),
    ((-30, -20, 10, 10), 0.075, (0, 13), (0, 13)),
    ((50, 30, 90, 90), 0.075, (25, 40), (47, 60)),
    ((20, 10, 20, 10), 0.075, (0, 0), (0, 0)),  # no area
    ((-30, 5, -20, 15), 0.075, (0, 0), (0, 0)),  # left of the image
    ((5, -30, 15, -20), 0.075, (0, 0), (0, 0)),  # above
    ((80, 5, 90, 15), 0.075, (0, 0), (0, 0)),  # right
    ((5, 80, 15, 90), 0.075, (0, 0), (0, 0)),  # below
])
def test_weight_of_one_box(
    box: tuple[float, ...], margin: float, rows: tuple[int, int], columns: tuple[int, int],
) -> None:
    expected = torch.ones(SIZE)
    expected[slice(*rows), slice(*columns)] = 5
    weights = pixel_weights(SIZE, np.array([box], np.float32), 5.0, margin)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, expected)


def test_overlapping_boxes_count_once() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 5, 20, 15]], np.float32)
    expected = torch.ones(SIZE)
    expected[0:10, 0:10] = 3
    expected[5:15, 5:20] = 3
    assert torch.equal(pixel_weights(SIZE, boxes, 3.0, 0.0), expected)


def test_without_boxes_every_pixel_weighs_the_same() -> None:
    boxes = np.zeros((0, 4), np.float32)
    assert torch.equal(pixel_weights(SIZE, boxes, 5.0, 0.075), torch.ones(SIZE))


def test_loss_equals_the_hand_computed() -> None:
    # Class 0 has probability 1/4, 1/2 and 9/10 at the three pixels.
    logits = torch.tensor([[0.0, 0.0, math.log(9)], [math.log(3), 0.0, 0.0]]).view(1, 2, 1, 3)
    label = torch.tensor([[[0, 1, 0]]])
    weights = torch.tensor([[5.0, 1.0, 5.0]])
    expected = (5 * math.log(4) + math.log(2) + 5 * math.log(10 / 9)) / 3
    assert float(distillation_loss(logits, label, weights)) == pytest.approx(expected)


def test_loss_is_a_mean_over_all_pixels_not_over_the_weights() -> None:
    logits, label = torch.zeros(1, 4, 6, 8), torch.ones(1, 6, 8, dtype=torch.long)
    for weight in (1.0, 5.0):
        loss = distillation_loss(logits, label, torch.full((6, 8), weight))
        assert float(loss) == pytest.approx(weight * math.log(4))


def _loss_and_gradient(
    logits: torch.Tensor, loss_of: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.detach().requires_grad_()
    loss = loss_of(logits)
    (3 * loss).backward()
    assert logits.grad is not None
    return loss.detach(), logits.grad


@pytest.mark.parametrize('scale', [1.0, 50.0, 1e4])  # 1e4: exp would overflow
@pytest.mark.parametrize('size', [(2, 2), (2, 14), (30, 44), (31, 44), (30, 43), (1, 1)], ids=str)
def test_loss_of_small_logits_is_that_of_the_upsampled(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], scale: float,
) -> None:
    monkeypatch.setattr(loss_module, '_BAND', 100)  # several bands of rows
    generator = torch.Generator().manual_seed(1)
    logits = scale * torch.randn(
        1, 4, (size[0] + 1) // 2, (size[1] + 1) // 2, generator=generator)
    label = torch.randint(0, 4, size, generator=generator)
    weights = 1 + 4 * torch.rand(size, generator=generator)
    loss, gradient = _loss_and_gradient(logits, DistillationLoss(label, weights))
    expected = _loss_and_gradient(
        logits, lambda x: distillation_loss(upsample(x, size), label[None], weights))
    torch.testing.assert_close(loss, expected[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient, expected[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize('bad', [math.nan, math.inf])
def test_loss_of_what_is_not_finite_is_not_finite(bad: float) -> None:
    logits = torch.zeros(1, 3, 4, 6)
    logits[0, 1, 2, 3] = bad
    loss = DistillationLoss(torch.zeros(8, 12, dtype=torch.long), torch.ones(8, 12))(logits)
    assert not math.isfinite(float(loss))


def test_the_loss_leaves_the_logits_alone() -> None:
    logits = torch.randn(1, 3, 4, 6)
    before = logits.clone()
    DistillationLoss(torch.zeros(8, 12, dtype=torch.long), torch.ones(8, 12))(logits)
    assert torch.equal(logits, before)


@pytest.mark.parametrize('dtype', [torch.float64, torch.bfloat16])
def test_other_numbers_take_the_plain_way(dtype: torch.dtype) -> None:
    logits = torch.randn(1, 3, 4, 6).to(dtype)
    label, weights = torch.zeros(8, 12, dtype=torch.long), torch.ones(8, 12)
    torch.testing.assert_close(
        DistillationLoss(label, weights)(logits),
        distillation_loss(upsample(logits, (8, 12)), label[None], weights))
