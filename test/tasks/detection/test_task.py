# SPDX-License-Identifier: Apache-2.0
"""Detection as a task: its loss leads to boxes that its metric finds good."""

from __future__ import annotations

from dataclasses import fields, replace
import math

import numpy as np
import pytest
from tasks.detection.picture import (
    BACKGROUND,
    BOXES,
    CAR,
    CLASSES,
    labelling,
    output_of,
    PERSON,
    SIZE,
)
import torch

from shadowtutor_ros.tasks.detection.task import Detection
from shadowtutor_ros.tasks.drawing import drawing_of, DrawnTask, perfect_answer
from shadowtutor_ros.tasks.protocol import BadLabelling

TASK = Detection()


def test_following_the_gradient_finds_the_objects() -> None:
    target = TASK.target(labelling(), SIZE, CLASSES)
    output = torch.full((1, CLASSES - 1 + 4, 8, 12), 0.0, requires_grad=True)
    adam = torch.optim.Adam([output], 0.1)
    assert TASK.metric(TASK.answer(output.detach(), SIZE), target) < 0.1
    for _ in range(150):
        adam.zero_grad()
        TASK.loss(output, target).backward()
        adam.step()
    answer = TASK.answer(output.detach(), SIZE)
    assert TASK.metric(answer, target) == 1
    np.testing.assert_allclose(sorted(answer[:2, :4].tolist()), BOXES, atol=1.5)


def test_the_loss_is_least_for_what_is_there() -> None:
    target = TASK.target(labelling(), SIZE, CLASSES)
    right = output_of((BOXES[0], PERSON, 6.0), (BOXES[1], CAR, 6.0))
    losses = [float(TASK.loss(output, target)) for output in (
        right,
        output_of((BOXES[0], PERSON, 6.0)),
        output_of((BOXES[0], CAR, 6.0), (BOXES[1], PERSON, 6.0)))]
    assert losses == sorted(losses)
    assert losses[0] < losses[1] - 1


def test_nothing_is_learnt_where_nothing_is_asked() -> None:
    class_ids = labelling().class_ids.copy()
    class_ids[:, 88:] = PERSON
    known = replace(labelling(), label_map=class_ids)
    for each, learns in ((known, False), (labelling(), True)):
        output = torch.zeros(1, CLASSES - 1 + 4, 8, 12, requires_grad=True)
        TASK.loss(output, TASK.target(each, SIZE, CLASSES)).backward()
        assert output.grad is not None
        assert bool(output.grad[..., 0, 11].any()) == learns


def test_a_frame_without_objects_is_learnt_and_judged() -> None:
    empty = replace(labelling([], []), label_map=np.full(SIZE, BACKGROUND, np.uint8))
    target = TASK.target(empty, SIZE, CLASSES)
    output = torch.zeros(1, CLASSES - 1 + 4, 8, 12, requires_grad=True)
    loss = TASK.loss(output, target)
    loss.backward()
    assert output.grad is not None
    assert torch.isfinite(output.grad).all()
    assert (output.grad[0, :-4] > 0).all()
    silent = TASK.answer(output_of(), SIZE)
    assert TASK.metric(silent, target) == 1
    assert TASK.metric(TASK.answer(output_of((BOXES[0], PERSON, 1.0)), SIZE), target) == 0


def test_classes_are_scored_and_background_is_none() -> None:
    target = TASK.target(labelling(), SIZE, CLASSES)
    answer = TASK.answer(output_of((BOXES[0], PERSON, 2.0)), SIZE)
    person, car, background = TASK.class_scores(answer, target).tolist()
    assert (person, car) == (1.0, 0.0)
    assert math.isnan(background)
    assert TASK.metric(answer, target) == 0.5


def test_a_target_is_refilled() -> None:
    target, other = (TASK.target(each, SIZE, CLASSES) for each in (
        labelling(), labelling(BOXES[:1], [CAR])))
    places = [getattr(target, field.name).data_ptr() for field in fields(target)]
    TASK.refill(target, other)
    for field, place in zip(fields(target), places):
        assert torch.equal(getattr(target, field.name), getattr(other, field.name))
        assert getattr(target, field.name).data_ptr() == place


def test_a_label_of_another_size_is_refused() -> None:
    with pytest.raises(BadLabelling, match=r'label has size \(64, 96\), the frame \(64, 90\)'):
        TASK.target(labelling(), (64, 90), CLASSES)


def test_what_the_teacher_says_is_a_perfect_answer() -> None:
    answer = perfect_answer(TASK, labelling(), CLASSES)
    assert TASK.metric(torch.from_numpy(answer), TASK.target(labelling(), SIZE, CLASSES)) == 1


def test_boxes_are_drawn_as_class_ids_on_their_lines() -> None:
    assert isinstance(TASK, DrawnTask)
    drawn = drawing_of(TASK, perfect_answer(TASK, labelling(), CLASSES), SIZE, CLASSES)
    assert (drawn.shape, drawn.dtype) == (SIZE, np.uint8)
    assert drawn[30, 12] == PERSON
    assert drawn[36, 40] == CAR
    assert drawn[36, 60] == drawn[0, 0] == BACKGROUND
