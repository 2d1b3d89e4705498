# SPDX-License-Identifier: Apache-2.0
"""Our average precision against COCO's own program, which torchmetrics asks too."""

from __future__ import annotations

import math

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
import pytest

from shadowtutor_ros.tasks.detection.average_precision import AveragePrecision
from shadowtutor_ros.tasks.detection.boxes import Boxes

CLASSES = 4


def _boxes(random: np.random.Generator, count: int) -> Boxes:
    corner = random.uniform(0, 80, (count, 2))
    return Boxes(np.column_stack((corner, corner + random.uniform(10, 40, (count, 2)))).astype(
        np.float32), random.uniform(0, 1, count).round(1).astype(np.float32),
        random.integers(0, CLASSES - 1, count).astype(np.uint8))


def _scene(seed: int) -> list[tuple[Boxes, Boxes]]:
    """Frames in which what is said lies more or less near what is right."""
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(12):
        wanted, noise = _boxes(random, int(random.integers(0, 6))), _boxes(random, 3)
        near = wanted.corners + random.normal(0, 4, wanted.corners.shape).astype(np.float32)
        said = [np.concatenate(parts) for parts in (
            (near, noise.corners),
            (random.uniform(0.2, 1, len(near)).astype(np.float32), noise.scores),
            (wanted.ids, noise.ids))]
        order = np.argsort(-said[1], kind='stable')
        frames.append((Boxes(*(part[order] for part in said)), wanted))
    return frames


def _cocos(frames: list[tuple[Boxes, Boxes]]) -> list[float]:
    """Return COCO's AP at 0.5 of each class, -1 where there is none."""
    def entries(which: int) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for image, pair in enumerate(frames, 1):
            for corners, score, class_id in zip(*(part.tolist() for part in pair[which])):
                x1, y1, x2, y2 = corners
                found.append({
                    'id': len(found) + 1, 'image_id': image, 'category_id': class_id + 1,
                    'bbox': [x1, y1, x2 - x1, y2 - y1], 'area': (x2 - x1) * (y2 - y1),
                    'iscrowd': 0, 'score': score})
        return found
    truth = COCO()
    truth.dataset = {'images': [{'id': i + 1} for i in range(len(frames))], 'info': {},
                     'categories': [{'id': i + 1} for i in range(CLASSES)],
                     'annotations': entries(1)}
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(entries(0)), 'bbox')
    evaluation.params.iouThrs = np.array([0.5])
    evaluation.evaluate()
    evaluation.accumulate()
    # overlap, recall, class, area "all", at most 100 boxes
    precision = evaluation.eval['precision'][0, :, :, 0, -1]
    return [float(of_class.mean()) for of_class in precision.T]


@pytest.mark.parametrize('seed', range(6))
def test_it_is_cocos(seed: int) -> None:
    frames = _scene(seed)
    precision = AveragePrecision()
    for said, wanted in frames:
        precision.add(said, wanted)
    expected = _cocos(frames)
    assert 0.2 < expected[0] < 1
    for class_id, value in enumerate(expected):
        own = precision.of_class(class_id)
        assert own == pytest.approx(value) if value >= 0 else math.isnan(own)
    assert precision.mean() == pytest.approx(np.mean([v for v in expected if v >= 0]))


def test_without_objects_there_is_none() -> None:
    precision = AveragePrecision()
    assert math.isnan(precision.mean())
    nothing = Boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.uint8))
    precision.add(_boxes(np.random.default_rng(0), 3), nothing)
    assert math.isnan(precision.mean())
    precision.add(nothing, _boxes(np.random.default_rng(0), 3))
    assert precision.mean() == 0
