# SPDX-License-Identifier: Apache-2.0
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from shadowtutor_ros.teacher.yolo.modules import Detections
from shadowtutor_ros.teacher.yolo.selection import _MOST, select

BOXES = torch.tensor([[50, 50, 20, 20], [51, 50, 20, 20], [50, 50, 20, 20], [90, 90, 9, 9.]])
SCORES = torch.tensor([[0.9, 0], [0.8, 0], [0, 0.7], [0.3, 0.1]])


def detections(boxes: torch.Tensor, scores: torch.Tensor) -> Detections:
    """Return BxNx4 boxes and BxNxC scores with masks that tell the candidates from each other."""
    batch, count, _ = boxes.shape
    return Detections(boxes, scores, torch.arange(batch * count).view(batch, count, 1).float(),
                      torch.ones(batch, 1, 2, 3))


def test_non_maximum_suppression_keeps_the_best_of_each_class() -> None:
    found = detections(BOXES[None], SCORES[None])
    objects, = select(found, 0.5)
    assert objects.ids.tolist() == [0, 1]
    np.testing.assert_allclose(objects.scores, [0.9, 0.7])
    assert objects.boxes.tolist() == [[40, 40, 60, 60]] * 2
    assert objects.logits.tolist() == [[[0] * 3] * 2, [[2] * 3] * 2]
    assert len(select(found, 0.25)[0].ids) == 3
    assert len(select(found, 0.9)[0].ids) == 1  # the threshold itself is enough


def test_where_nothing_is_there_are_no_objects() -> None:
    objects, = select(detections(BOXES[None], SCORES[None]), 0.95)
    assert objects.ids.shape == objects.scores.shape == (0,)
    assert objects.boxes.shape == (0, 4)
    assert objects.logits.shape == (0, 2, 3)


def test_pictures_have_their_own_objects() -> None:
    found = detections(torch.stack([BOXES] * 3),
                       torch.stack([SCORES.flip(0), torch.zeros(4, 2), SCORES]))
    first, none, last = select(found, 0.5)
    assert first.boxes.tolist() == [[85.5, 85.5, 94.5, 94.5], [40, 40, 60, 60], [41, 40, 61, 60]]
    assert first.logits[:, 0, 0].tolist() == [3, 2, 1]
    assert len(none.ids) == 0
    assert last.boxes.tolist() == [[40, 40, 60, 60]] * 2
    assert last.logits[:, 0, 0].tolist() == [8, 10]


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """Return what is kept, one after the other as it is defined."""
    corners = np.concatenate((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), 1)
    kept: list[int] = []
    for index in np.argsort(-scores.max(1)).tolist():
        same = [other for other in kept if scores[other].argmax() == scores[index].argmax()]
        if scores[index].max() >= threshold and all(
                _iou(corners[index], corners[other]) <= 0.45 for other in same):
            kept.append(index)
    return kept


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@pytest.mark.parametrize('seed', range(8))
def test_chains_of_overlaps_end_as_one_by_one(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(2, 150, 4, generator=generator) * 60 + 40
    scores = torch.rand(2, 150, 3, generator=generator)
    for index, objects in enumerate(select(detections(boxes, scores), 0.3)):
        expected = greedy(boxes[index].double().numpy(), scores[index].numpy(), 0.3)
        assert objects.logits[:, 0, 0].tolist() == [150 * index + one for one in expected]
        assert len(expected) > 3


def test_no_more_than_the_surest_are_compared() -> None:
    count = _MOST + 100
    places = torch.arange(count).float()[None, :, None] * 50
    found = detections(torch.cat((places, places, torch.full((1, count, 2), 20.0)), 2),
                       torch.linspace(0.5, 1, count)[None, :, None])
    objects, = select(found, 0.4)
    assert len(objects.ids) == _MOST
    assert objects.logits[0, 0, 0] == count - 1
