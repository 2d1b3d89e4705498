# SPDX-License-Identifier: Apache-2.0
"""What a labelling asks of each cell."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tasks.detection.picture import BACKGROUND, BOXES, CAR, CLASSES, IDS, labelling, PERSON, SIZE

from shadowtutor_ros.classes import UNLABELLED
from shadowtutor_ros.tasks.detection.boxes import MOST
from shadowtutor_ros.tasks.detection.target import cells_of, objects_of, target_of
from shadowtutor_ros.tasks.protocol import BadLabelling


def test_an_object_is_hot_in_its_middle_and_fades() -> None:
    target = target_of(labelling(), SIZE, CLASSES, 'cpu')
    assert target.heat.shape == (CLASSES - 1, *cells_of(SIZE)) == (2, 8, 12)
    assert (target.heat == 1).nonzero().tolist() == [[PERSON, 4, 2], [CAR, 4, 8]]
    along = target.heat[CAR, 4]
    assert (along[8:11].diff() < 0).all()
    assert along[0] == 0
    assert target.corners[:, 4, 2].tolist() == BOXES[0]
    assert target.corners[:, 4, 8].tolist() == BOXES[1]
    assert target.share[4, 8] == 1
    assert target.share[0].sum() == 0
    assert target.known.all()


def test_a_smaller_object_in_front_has_its_cells() -> None:
    large, small = [8, 0, 88, 64], [40, 24, 56, 40]  # around one centre
    for boxes in ([large, small], [small, large]):
        target = target_of(labelling(boxes, [CAR, CAR]), SIZE, CLASSES, 'cpu')
        assert target.corners[:, 4, 6].tolist() == small
    boxes = [[0, 0, 96, 64], [8, 24, 24, 40]]
    target = target_of(labelling(boxes, [CAR, CAR]), SIZE, CLASSES, 'cpu')
    assert target.corners[:, 4, 2].tolist() == boxes[1]


def test_where_boxes_have_no_class_the_map_says_it() -> None:
    assert objects_of(labelling(ids=None), CLASSES).ids.tolist() == IDS
    nothing = [[0, 0, 8, 8]]
    assert len(objects_of(labelling(nothing, None), CLASSES).ids) == 0


def test_the_surest_are_first_and_no_more_than_fit() -> None:
    boxes = objects_of(labelling(scores=[0.5, 0.75]), CLASSES)
    assert boxes.ids.tolist() == [CAR, PERSON]
    many = [[i, 0, i + 8, 20] for i in range(60)] * 2
    scores = [0.4] * 60 + [0.9] * 60
    boxes = objects_of(labelling(many, [CAR] * 120, scores), CLASSES)
    assert boxes.scores.tolist() == pytest.approx([0.9] * 60 + [0.4] * (MOST - 60))


def test_a_teacher_without_scores_is_sure() -> None:
    known = replace(labelling(), scores=np.zeros(0, np.float32))
    assert objects_of(known, CLASSES).scores.tolist() == [1.0, 1.0]


def test_an_object_that_an_edge_cuts_to_nothing_is_none() -> None:
    boxes = [[0, 0, 1.5, 30], [94.5, 10, 96, 40], [0, 10, 3, 40]]
    assert objects_of(labelling(boxes, [CAR] * 3), CLASSES).corners.tolist() == [boxes[2]]


@pytest.mark.parametrize('value', [UNLABELLED, PERSON])
def test_nothing_is_asked_where_the_map_has_what_no_box_has(value: int) -> None:
    """Objects that augmentation mirrored into a picture, and what is no label."""
    known = labelling()
    class_ids = known.class_ids.copy()
    class_ids[:, 88:] = value
    target = target_of(replace(known, label_map=class_ids), SIZE, CLASSES, 'cpu')
    assert not target.known[:2, 11].any()
    assert target.known[:, :10].all()


def test_an_empty_picture_asks_for_nothing() -> None:
    empty = replace(labelling([], []), label_map=np.full(SIZE, BACKGROUND, np.uint8))
    target = target_of(empty, SIZE, CLASSES, 'cpu')
    assert not target.heat.any()
    assert (target.ids == -1).all()


@pytest.mark.parametrize(('boxes', 'ids', 'error'), [
    (BOXES, [0, 2], r'expected 2 boxes of class ids 0 to 1, got 2 up to 2'),
    (BOXES, [0], r'expected 2 boxes .*, got 1 up to 0'),
    ([[0, 0, float('nan'), 9]], [0], 'a box has corners that are no numbers')])
def test_what_no_student_could_say_is_refused(
    boxes: list[list[float]], ids: list[int], error: str,
) -> None:
    with pytest.raises(BadLabelling, match=error):
        target_of(labelling(boxes, ids), SIZE, CLASSES, 'cpu')
