# SPDX-License-Identifier: Apache-2.0
"""Mean IoU against hand-computed cases and a reference over sets of pixels."""

from __future__ import annotations

import math

from hypothesis import given, settings, strategies as st
import numpy as np
import pytest
import torch

from shadowtutor_ros.tasks.segmentation.metric import class_iou, mean_iou, mean_iou_of_masks

CASES = [
    ([[0, 1], [1, 2]], [[0, 0], [1, 2]], [1 / 2, 1 / 2, 1, None]),  # class 3 absent: ignored
    ([[0, 0, 0, 0]], [[3, 3, 3, 3]], [0, None, None, 0]),
    ([[3, 3, 3, 3]], [[3, 3, 3, 3]], [None, None, None, 1]),  # background counts
    ([[1, 3, 3, 3]], [[3, 3, 3, 3]], [None, 0, None, 3 / 4]),  # one false pixel is a class
    ([[3, 3, 3, 3]], [[1, 3, 3, 3]], [None, 0, None, 3 / 4]),
    ([[0, 0, 1, 1, 3, 3]], [[0, 1, 1, 1, 1, 3]], [1 / 2, 2 / 4, None, 1 / 2]),
    ([[0, 1, 2, 3]], [[255, 255, 2, 2]], [None, None, 1 / 2, 0]),  # 255 is no label
    ([[0, 255, 3, 255]], [[0, 0, 3, 255]], [1 / 2, None, None, 1]),  # and a wrong answer
]


@pytest.mark.parametrize(('prediction', 'label', 'expected'), CASES)
def test_hand_computed(
    prediction: list[list[int]], label: list[list[int]], expected: list[float | None],
) -> None:
    present = [value for value in expected if value is not None]
    per_class = class_iou(torch.tensor(prediction), torch.tensor(label), 4).tolist()
    assert [None if math.isnan(value) else value for value in per_class] == expected
    assert mean_iou(torch.tensor(prediction), torch.tensor(label), 4) == pytest.approx(
        sum(present) / len(present))
    assert mean_iou_of_masks(
        np.array(prediction, np.uint8), np.array(label, np.uint8), 4,
    ) == pytest.approx(sum(present) / len(present))


def _by_sets(prediction: list[int], label: list[int], classes: int) -> float:
    ious = []
    for wanted in range(classes):
        ours = {i for i, value in enumerate(prediction) if value == wanted}
        theirs = {i for i, value in enumerate(label) if value == wanted}
        if ours | theirs:
            ious.append(len(ours & theirs) / len(ours | theirs))
    return sum(ious) / len(ious)


@given(data=st.data(), classes=st.integers(1, 12), pixels=st.integers(1, 40))
@settings(deadline=None)
def test_equals_the_reference_over_sets(data: st.DataObject, classes: int, pixels: int) -> None:
    ids = st.lists(st.integers(0, classes - 1), min_size=pixels, max_size=pixels)
    prediction, label = data.draw(ids), data.draw(ids)
    metric = mean_iou(torch.tensor(prediction), torch.tensor(label), classes)
    assert metric == pytest.approx(_by_sets(prediction, label, classes))
    assert (metric == 1) == (prediction == label)


def test_class_ids_near_the_limit_of_uint8() -> None:
    mask = np.array([[254, 255], [0, 255]], np.uint8)
    assert mean_iou_of_masks(mask, mask, 256) == 1
    assert mean_iou_of_masks(mask, mask[::-1].copy(), 256) == pytest.approx(1 / 3)


def test_large_maps_do_not_overflow() -> None:
    prediction = torch.zeros(1, 1 << 17, dtype=torch.uint8)
    label = prediction.clone()
    label[:, : 1 << 15] = 255
    assert mean_iou(prediction, label, 256) == pytest.approx((3 / 4 + 0) / 2)


@pytest.mark.parametrize('shape', [(4, 2), (8,), (2, 5)], ids=str)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='shape'):
        mean_iou(torch.zeros(2, 4, dtype=torch.long), torch.zeros(shape, dtype=torch.long), 2)
