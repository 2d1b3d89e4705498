# SPDX-License-Identifier: Apache-2.0
"""How good boxes are, by pairs of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shadowtutor_ros.tasks.detection.boxes import MOST, overlaps, SURE
from shadowtutor_ros.tasks.detection.metric import class_quality

BOX = [10.0, 10.0, 30.0, 50.0]
FAR = [60.0, 10.0, 80.0, 50.0]


def _shifted(pixels: float) -> list[float]:
    return [BOX[0] + pixels, BOX[1], BOX[2] + pixels, BOX[3]]


def _quality(
    said: list[tuple[list[float], float, int]], wanted: list[tuple[list[float], int]],
) -> list[float]:
    answer, boxes = torch.zeros(MOST, 6), torch.zeros(MOST, 4)
    ids = torch.full((MOST,), -1)
    for row, (box, score, class_id) in enumerate(said):
        answer[row] = torch.tensor([*box, score, class_id])
    for row, (box, class_id) in enumerate(wanted):
        boxes[row], ids[row] = torch.tensor(box), class_id
    return class_quality(answer, boxes, ids, 2).tolist()


def test_the_same_boxes_are_perfect_and_a_class_that_nobody_has_is_not_judged() -> None:
    assert _quality([(BOX, 0.9, 0), (FAR, 0.8, 0)], [(FAR, 0), (BOX, 0)]) == [
        1.0, pytest.approx(float('nan'), nan_ok=True)]


@pytest.mark.parametrize(('pixels', 'worth'), [
    (2, 1.0), (4, (16 / 24) / 0.8), (6, (14 / 26) / 0.8), (7, 0.0), (30, 0.0)])
def test_a_pair_counts_by_its_overlap(pixels: float, worth: float) -> None:
    assert _quality([(_shifted(pixels), 0.9, 0)], [(BOX, 0)])[0] == pytest.approx(worth)


def test_boxes_that_are_missing_or_too_many_count_half_each() -> None:
    assert _quality([(BOX, 0.9, 0)], [(BOX, 0), (FAR, 0)])[0] == pytest.approx(2 / 3)
    assert _quality([(BOX, 0.9, 0), (FAR, 0.9, 0)], [(BOX, 0)])[0] == pytest.approx(2 / 3)
    # An object is found once.
    assert _quality([(BOX, 0.9, 0), (BOX, 0.8, 0)], [(BOX, 0)])[0] == pytest.approx(2 / 3)


def test_another_class_is_no_pair() -> None:
    assert _quality([(BOX, 0.9, 1)], [(BOX, 0)]) == [0.0, 0.0]


def test_what_is_not_sure_is_not_said() -> None:
    assert _quality([(BOX, SURE - 0.01, 0)], [(BOX, 0)])[0] == 0.0
    assert _quality([(BOX, SURE, 0)], [(BOX, 0)])[0] == 1.0


def test_the_pair_that_overlaps_most_is_found_first() -> None:
    """Each of two in a row could be the middle one's, which goes to the nearer."""
    said = [(_shifted(3), 0.9, 0), (_shifted(0), 0.8, 0)]
    wanted = [(_shifted(1), 0), (_shifted(5), 0)]
    # 0 with 1 (19/21), then 3 with 5 (18/22): all four are found.
    assert _quality(said, wanted)[0] == pytest.approx(1.0)


def test_it_is_what_choosing_pair_after_pair_gives() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        said, wanted = (np.column_stack((
            corner := random.uniform(0, 40, (12, 2)), corner + random.uniform(15, 30, (12, 2))))
            for _ in range(2))
        quality = overlaps(torch.from_numpy(said).float().double(),
                           torch.from_numpy(wanted).float().double()).numpy()
        found = 0.0
        while quality.max() > 0.5:
            row, column = np.unravel_index(quality.argmax(), quality.shape)
            found += min(1.0, quality[row, column] / 0.8)
            quality[row], quality[:, column] = 0, 0
        assert _quality([(box, 0.9, 1) for box in said.tolist()],
                        [(box, 1) for box in wanted.tolist()])[1] == pytest.approx(found / 12)
