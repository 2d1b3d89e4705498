# SPDX-License-Identifier: Apache-2.0
"""Segmentation as a task: what a labelling asks for, what logits say, how good that is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from shadowtutor_ros.classes import UNLABELLED
from shadowtutor_ros.tasks.protocol import BadLabelling, Emphasis
from shadowtutor_ros.tasks.segmentation.loss import distillation_loss, pixel_weights
from shadowtutor_ros.tasks.segmentation.task import Segmentation
from shadowtutor_ros.tasks.segmentation.upsample import upsample
from shadowtutor_ros.teacher.protocol import Labelling

TASK = Segmentation()
SIZE = (8, 12)
BOXES = np.array([[2, 1, 7, 5]], np.float32)


def _labelling() -> Labelling:
    label = np.full(SIZE, 2, np.uint8)
    label[1:5, 2:7] = 0
    return Labelling(label, BOXES, np.ones(1, np.float32))


def _logits(size: tuple[int, int] = (4, 6)) -> torch.Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('emphasis', [Emphasis(), Emphasis(5.0, 0.1)], ids=str)
def test_the_loss_is_the_weighted_cross_entropy_at_the_frames_size(emphasis: Emphasis) -> None:
    logits = _logits(SIZE)
    expected = distillation_loss(
        logits, torch.from_numpy(_labelling().class_ids)[None].long(),
        pixel_weights(SIZE, BOXES, emphasis.object_weight, emphasis.box_margin))
    target = TASK.target(_labelling(), SIZE, 3, emphasis=emphasis)
    assert float(TASK.loss(logits, target)) == pytest.approx(float(expected), rel=1e-5)


def test_without_emphasis_every_pixel_counts_alike() -> None:
    plain = Labelling(_labelling().class_ids)
    losses = [float(TASK.loss(_logits(), TASK.target(labelling, SIZE, 3)))
              for labelling in (_labelling(), plain)]
    assert losses[0] == losses[1]


def test_the_answer_has_the_frames_size_and_is_judged_by_the_label() -> None:
    answer = TASK.answer(_logits(), SIZE)
    assert (answer.shape, answer.dtype) == (SIZE, torch.uint8)
    target = TASK.target(_labelling(), SIZE, 4)
    scores = TASK.class_scores(answer, target).tolist()
    assert math.isnan(scores[3])  # neither has it
    assert scores[1] == 0
    assert 0 < scores[0] < 1
    assert TASK.metric(answer, target) == pytest.approx(sum(scores[:3]) / 3)
    assert TASK.metric(torch.from_numpy(_labelling().class_ids), target) == 1


@pytest.mark.parametrize('size', [(12, 8), (8, 11), (7, 12)], ids=str)
def test_a_label_of_another_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(BadLabelling, match=rf'label has size \(8, 12\), the frame \({size[0]}, '):
        TASK.target(_labelling(), size, 3)


def test_a_class_that_the_student_does_not_have_is_refused() -> None:
    with pytest.raises(BadLabelling, match='label has class id 2, the student only 0 to 1'):
        TASK.target(_labelling(), SIZE, 2)


def _unlabelled(*pixels: tuple[slice, slice]) -> Labelling:
    label = _labelling().class_ids.copy()
    for place in pixels:
        label[place] = UNLABELLED
    return Labelling(label, BOXES, np.ones(1, np.float32))


@pytest.mark.parametrize('size', [(4, 6), SIZE], ids=str)  # both ways of the loss
@pytest.mark.parametrize('emphasis', [Emphasis(), Emphasis(5.0, 0.1)], ids=str)
def test_pixels_without_a_label_have_no_loss_and_no_gradient(
    size: tuple[int, int], emphasis: Emphasis,
) -> None:
    target = TASK.target(_unlabelled(np.s_[:, :6]), SIZE, 3, emphasis=emphasis)
    logits = _logits(size).requires_grad_()
    loss = TASK.loss(logits, target)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[..., :size[1] // 2 - 1].any()
    assert logits.grad[..., size[1] // 2:].any()

    whole = upsample(logits.detach(), SIZE)
    weights = pixel_weights(SIZE, BOXES, emphasis.object_weight, emphasis.box_margin)
    expected = distillation_loss(
        whole[..., 6:], torch.from_numpy(_labelling().class_ids[:, 6:])[None].long(),
        weights[:, 6:])
    assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-4)


def test_without_any_label_there_is_nothing_to_learn() -> None:
    target = TASK.target(_unlabelled(np.s_[:, :]), SIZE, 3)
    logits = _logits().requires_grad_()
    TASK.loss(logits, target).backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_pixels_without_a_label_are_not_judged() -> None:
    target = TASK.target(_unlabelled(np.s_[:, :6]), SIZE, 3)
    answer = torch.from_numpy(_labelling().class_ids.copy())
    answer[:, :6] = 1
    assert TASK.metric(answer, target) == 1
    answer[0, 6] = 1
    assert TASK.metric(answer, target) < 1


def test_a_target_is_refilled_with_what_has_no_label() -> None:
    target = TASK.target(_labelling(), SIZE, 3)
    other = TASK.target(_unlabelled(np.s_[:3]), SIZE, 3)
    answer = TASK.answer(_logits(), SIZE)
    float(TASK.loss(_logits(), target))
    TASK.refill(target, other)
    assert float(TASK.loss(_logits(), target)) == float(TASK.loss(_logits(), other))
    assert TASK.metric(answer, target) == TASK.metric(answer, other)


def test_a_class_that_the_student_does_not_have_is_refused_beside_what_has_no_label() -> None:
    with pytest.raises(BadLabelling, match='label has class id 2, the student only 0 to 1'):
        TASK.target(_unlabelled(np.s_[:3]), SIZE, 2)
