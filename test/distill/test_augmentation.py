# SPDX-License-Identifier: Apache-2.0
"""Copies of a picture: of the same size, with labels and boxes where the objects went."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.augmentation import example_on, Warp
from shadowtutor_ros.distill.memory import Example
from shadowtutor_ros.teacher.protocol import Labelling

SIZE = 96, 128
BACKGROUND = 2


def example(top: int = 40, left: int = 50) -> Example:
    """Return a bright object of class 1 on a dark ground."""
    frame, label = np.full((*SIZE, 3), 20, np.uint8), np.full(SIZE, BACKGROUND, np.uint8)
    box = slice(top, top + 16), slice(left, left + 24)
    frame[box], label[box] = 220, 1
    return Example(frame, Labelling(
        label, np.array([[left, top, left + 24, top + 16]], np.float32),
        np.array([0.9], np.float32)))


def augmented(example: Example, random: np.random.Generator) -> Example:
    frame, labelling = example_on(
        torch.device('cpu'), example, Warp.draw(example.frame.shape[:2], random))
    return Example(frame.numpy(), labelling)


@pytest.mark.parametrize('seed', range(8))
def test_labels_and_boxes_go_with_the_object(seed: int) -> None:
    copy = augmented(example(), np.random.default_rng(seed))
    assert copy.frame.shape == (*SIZE, 3)
    assert copy.frame.dtype == copy.labelling.class_ids.dtype == np.uint8
    assert set(np.unique(copy.labelling.class_ids)) == {1, BACKGROUND}
    rows, columns = np.nonzero(copy.labelling.class_ids == 1)
    bright = copy.frame[..., 0] > 120
    agree = (bright == (copy.labelling.class_ids == 1)).mean()
    assert agree > 0.99
    x1, y1, x2, y2 = copy.labelling.boxes[0]
    np.testing.assert_allclose(
        (x1, y1, x2, y2),
        (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1), atol=2)
    assert copy.labelling.scores.tolist() == example().labelling.scores.tolist()


def test_copies_differ_in_place_size_and_side() -> None:
    random = np.random.default_rng(0)
    original = example(left=20)
    original.frame[40:56, 20:32, 0] = 0  # its left half
    centres, sizes, sides = [], [], set()
    for _ in range(40):
        copy = augmented(original, random)
        x1, _, x2, _ = copy.labelling.boxes[0]
        centres.append((x1 + x2) / 2)
        sizes.append(x2 - x1)
        columns = np.nonzero(copy.frame[..., 0] < 10)[1]
        if len(columns):
            sides.add(bool(columns.mean() < centres[-1]))
    assert np.ptp(centres) > 30
    assert min(sizes) < 21 < 27 < max(sizes)
    assert sides == {True, False}


def test_the_same_numbers_give_the_same_copy() -> None:
    one, two = (augmented(example(), np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one.frame, two.frame)
    assert np.array_equal(one.labelling.class_ids, two.labelling.class_ids)


def test_the_original_stays_and_boxes_stay_in_the_picture() -> None:
    original = example(top=0, left=0)
    before = original.frame.copy()
    random = np.random.default_rng(1)
    for _ in range(20):
        boxes = augmented(original, random).labelling.boxes
        assert (boxes >= 0).all()
        assert (boxes <= (SIZE[1], SIZE[0], SIZE[1], SIZE[0])).all()
        assert boxes.dtype == np.float32
    assert np.array_equal(original.frame, before)


def test_a_frame_without_objects() -> None:
    empty = Example(np.zeros((*SIZE, 3), np.uint8), Labelling(np.full(SIZE, 2, np.uint8)))
    assert augmented(empty, np.random.default_rng(0)).labelling.boxes.shape == (0, 4)


@pytest.mark.parametrize('seed', range(8))
def test_tensors_are_warped_like_arrays(seed: int) -> None:
    original = example()
    original.frame[...] += np.arange(SIZE[1], dtype=np.uint8)[None, :, None] // 4
    warp = Warp.draw(SIZE, np.random.default_rng(seed))
    frame, labels = warp.tensors(
        torch.from_numpy(original.frame), torch.from_numpy(original.labelling.class_ids))
    expected, labelling = example_on(torch.device('cpu'), original, warp)
    assert frame.dtype == labels.dtype == torch.uint8
    assert frame.is_contiguous()
    differ = (frame.int() - expected.int()).abs()
    assert differ.float().mean() < 0.5  # OpenCV rounds places to a 32nd of a pixel
    assert (differ > 8).float().mean() < 0.01
    assert (labels.numpy() == labelling.class_ids).mean() > 0.995


def test_without_a_warp_it_is_the_example() -> None:
    original = example()
    frame, labelling = example_on(torch.device('cpu'), original, None)
    assert np.array_equal(frame.numpy(), original.frame)
    assert np.array_equal(labelling.class_ids, original.labelling.class_ids)
    assert np.array_equal(labelling.boxes, original.labelling.boxes)
