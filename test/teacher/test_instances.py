# SPDX-License-Identifier: Apache-2.0
import tracemalloc
from types import SimpleNamespace

import numpy as np
import torch

from shadowtutor_ros.classes import ClassSet, COCO_NAMES
from shadowtutor_ros.teacher import detectron2, torchvision
from shadowtutor_ros.teacher.instances import paint, Patch

PERSON, CAR, CHAIR = (COCO_NAMES.index(name) for name in ('person', 'car', 'chair'))

MASKS = np.zeros((3, 4, 4), bool)
MASKS[0, :2] = MASKS[1, 1:3] = MASKS[2] = True
IDS = np.array([PERSON, CAR, CHAIR])
SCORES = np.array([0.9, 0.6, 0.99], np.float32)
BOXES = np.array([[0, 0, 4, 2], [0, 1, 4, 3], [0, 0, 4, 4]], np.float32)


def mask(index: int) -> Patch:
    return Patch(0, 0, torch.from_numpy(MASKS[index]))


EXPECTED = [[0] * 4, [0] * 4, [2] * 4, [8] * 4]


def test_the_surest_object_is_on_top_and_other_classes_are_background(
    classes: ClassSet,
) -> None:
    labelling = paint(mask, IDS, SCORES, BOXES, classes, (4, 4))
    assert labelling.class_ids.tolist() == EXPECTED
    assert labelling.boxes.tolist() == BOXES[[1, 0]].tolist()
    np.testing.assert_array_equal(labelling.scores, SCORES[[1, 0]])
    assert labelling.box_ids is not None
    assert labelling.box_ids.tolist() == [2, 0]


def test_an_empty_scene_is_background(classes: ClassSet) -> None:
    labelling = paint(mask, IDS[:0], SCORES[:0], BOXES[:0], classes, (4, 4))
    assert (labelling.class_ids == 8).all()
    assert labelling.class_ids.shape == (4, 4)
    assert labelling.boxes.shape == (0, 4)


def test_one_mask_is_held_at_a_time(classes: ClassSet) -> None:
    size, count = (1000, 1000), 50

    def mask_of(index: int) -> Patch:
        mask = np.zeros(size, bool)
        mask[index] = True
        return Patch(0, 0, torch.from_numpy(mask))

    tracemalloc.start()
    try:
        labelling = paint(mask_of, np.full(count, PERSON), np.linspace(0, 1, count),
                          np.zeros((count, 4)), classes, size)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (labelling.class_ids[:, 0] == 0).sum() == count
    assert peak < 3 * 1000 * 1000  # a mask, the next one


def test_masks_of_background_are_not_made(classes: ClassSet) -> None:
    asked = []

    def mask_of(index: int) -> Patch:
        asked.append(index)
        return mask(index)

    paint(mask_of, IDS, SCORES, BOXES, classes, (4, 4))
    assert asked == [1, 0]


def test_a_mask_may_be_of_a_part_of_the_frame(classes: ClassSet) -> None:
    patches = [Patch(1, 2, torch.ones(2, 1, dtype=torch.bool)),
               Patch(0, 0, torch.zeros(0, 0, dtype=torch.bool))]
    labelling = paint(patches.__getitem__, IDS[:2], SCORES[:2], BOXES[:2], classes, (3, 4))
    assert labelling.class_ids.tolist() == [[8] * 4, [8, 8, 0, 8], [8, 8, 0, 8]]


def test_a_label_map_is_painted_where_the_masks_are(classes: ClassSet) -> None:
    labelling = paint(lambda index: Patch(0, 0, torch.ones(4, 4, dtype=torch.bool, device='meta')),
                      IDS, SCORES, BOXES, classes, (4, 4), 'meta')
    assert labelling.class_ids_on('meta') is labelling.label_map


def test_detectron2s_instances(classes: ClassSet) -> None:
    instances = SimpleNamespace(
        pred_masks=torch.from_numpy(MASKS), pred_classes=torch.from_numpy(IDS),
        scores=torch.from_numpy(SCORES),
        pred_boxes=SimpleNamespace(tensor=torch.from_numpy(BOXES)))
    assert detectron2.labelling_of(instances, classes).class_ids.tolist() == EXPECTED


CATEGORIES = ['__background__', 'person', 'bicycle', 'car', 'N/A', 'chair']


def detections(labels: list[int]) -> dict[str, torch.Tensor]:
    return {'masks': torch.from_numpy(MASKS)[:, None].float() * 0.8,
            'labels': torch.tensor(labels), 'scores': torch.from_numpy(SCORES),
            'boxes': torch.from_numpy(BOXES)}


def test_torchvisions_detections(classes: ClassSet) -> None:
    labelling = torchvision.labelling_of(detections([1, 3, 5]), CATEGORIES, classes)
    assert labelling.class_ids.tolist() == EXPECTED


def test_a_number_of_torchvision_without_a_class_is_no_object(classes: ClassSet) -> None:
    labelling = torchvision.labelling_of(detections([4, 3, 4]), CATEGORIES, classes)
    assert labelling.class_ids.tolist() == [[8] * 4, [2] * 4, [2] * 4, [8] * 4]
    assert labelling.boxes.tolist() == BOXES[[1]].tolist()
    none = torchvision.labelling_of(detections([4, 4, 4]), CATEGORIES, classes)
    assert none.boxes.shape == (0, 4)
