# SPDX-License-Identifier: Apache-2.0
"""From outputs to boxes: which, and in which order."""

from __future__ import annotations

import numpy as np
import pytest
from tasks.detection.picture import BOXES, CAR, output_of, PERSON, SIZE
import torch

from shadowtutor_ros.tasks.detection.boxes import answer_of, Boxes, boxes_of, MOST
from shadowtutor_ros.tasks.detection.decode import answer_from_output, BadOutput


def said_by(output: torch.Tensor) -> Boxes:
    return boxes_of(answer_from_output(output, SIZE).numpy())


def test_the_surest_box_comes_first() -> None:
    boxes = said_by(output_of((BOXES[0], PERSON, 1.0), (BOXES[1], CAR, 2.0)))
    np.testing.assert_allclose(boxes.corners, BOXES[::-1], atol=1e-3)
    assert boxes.ids.tolist() == [CAR, PERSON]
    np.testing.assert_allclose(boxes.scores, torch.tensor([2.0, 1.0]).sigmoid(), rtol=1e-6)


def test_an_answer_has_always_the_same_size() -> None:
    answer = answer_from_output(output_of((BOXES[0], PERSON, 1.0)), SIZE)
    assert (answer.shape, answer.dtype) == ((MOST, 6), torch.float32)
    assert not answer[1:].any()
    tiny = answer_from_output(torch.full((1, 5, 1, 1), 3.0), (1, 1))
    assert tiny[0, :4].tolist() == [0, 0, 1, 1]  # cut at the frame's edges
    assert not tiny[1:].any()


def test_equally_sure_boxes_come_by_class_and_place() -> None:
    boxes = said_by(output_of(([60, 4, 68, 12], CAR, 1.0), ([4, 44, 12, 52], PERSON, 1.0),
                              ([84, 4, 92, 12], PERSON, 1.0), ([4, 4, 12, 12], PERSON, 1.0)))
    assert boxes.ids.tolist() == [PERSON, PERSON, PERSON, CAR]
    assert boxes.corners[:, :2].round().tolist() == [[4, 4], [84, 4], [4, 44], [60, 4]]


def test_only_a_peak_is_a_centre() -> None:
    output = output_of((BOXES[0], PERSON, 3.0))
    output[0, PERSON, 3:5, 1:4] = torch.tensor([[1.0, 2.0, 1.0]] * 2)
    output[0, PERSON, 4, 2] = 3.0
    assert len(said_by(output).ids) == 1


def test_a_box_that_covers_a_surer_one_of_its_class_is_the_same_object() -> None:
    surer, alike, other = [8, 0, 24, 64], [8, 0, 24, 40], [8, 0, 24, 36]
    for box, class_id, boxes in ((alike, PERSON, 1), (alike, CAR, 2), (other, PERSON, 2)):
        output = output_of((surer, PERSON, 2.0), (box, class_id, 1.0))
        assert len(said_by(output).ids) == boxes


def test_who_is_covered_covers_nobody() -> None:
    first, covered, last = [0, 8, 96, 56], [4, 8, 64, 56], [4, 8, 42, 56]
    boxes = said_by(output_of(
        (first, PERSON, 3.0), (covered, PERSON, 2.0), (last, PERSON, 1.0)))
    assert boxes.corners.round().tolist() == [first, last]


@pytest.mark.parametrize('shape', [(1, 4, 8, 12), (1, 6, 8, 13), (1, 6, 32, 48), (2, 6, 8, 12)])
def test_an_output_of_another_network_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadOutput, match=r'detection of \(64, 96\): expected an output of 1 x 5'):
        answer_from_output(torch.zeros(shape), SIZE)


def test_boxes_are_an_answer_and_back() -> None:
    boxes = Boxes(np.array(BOXES, np.float32), np.array([0.5, 0.75], np.float32),
                  np.array([PERSON, CAR], np.uint8))
    again = boxes_of(answer_of(boxes))
    assert again.corners.tolist() == BOXES[::-1]
    assert (again.scores.tolist(), again.ids.tolist()) == ([0.75, 0.5], [CAR, PERSON])
    assert len(boxes_of(answer_of(boxes), 0.6).ids) == 1
    many = Boxes(np.ones((120, 4), np.float32), np.linspace(0.5, 1, 120, dtype=np.float32),
                 np.zeros(120, np.uint8))
    assert boxes_of(answer_of(many)).scores.min() > 0.5
