# SPDX-License-Identifier: Apache-2.0
from typing import Any

import numpy as np
import pytest

from shadowtutor_ros.pretrain.crops import CropSettings, random_crop
from shadowtutor_ros.teacher.protocol import Labelling

SMALL = CropSettings(height=32, width=48, short_side=60)


def picture(rows: int = 90, columns: int = 120) -> tuple[np.ndarray, Labelling]:
    """A bright object on dark ground."""
    frame = np.zeros((rows, columns, 3), np.uint8)
    class_ids = np.full((rows, columns), 8, np.uint8)
    frame[30:50, 70:100] = 255
    class_ids[30:50, 70:100] = 2
    return frame, Labelling(class_ids, np.array([[70, 30, 100, 50]], np.float32),
                            np.ones(1, np.float32))


@pytest.mark.parametrize('seed', range(20))
def test_labels_and_boxes_go_with_the_picture(seed: int) -> None:
    frame, labelling = random_crop(*picture(), settings=SMALL, random=np.random.default_rng(seed))
    assert frame.shape == (32, 48, 3)
    assert frame.dtype == labelling.class_ids.dtype == np.uint8
    bright, labelled = frame.mean(2) > frame.mean(2).mean() + 20, labelling.class_ids == 2
    assert labelling.class_ids.shape == (32, 48)
    if labelled.any() and not labelled.all():
        assert (bright == labelled).mean() > 0.85
        rows, columns = np.nonzero(labelled)
        (x1, y1, x2, y2), = labelling.boxes
        assert abs(columns.min() - x1) <= 1.5
        assert abs(columns.max() + 1 - x2) <= 1.5
        assert abs(rows.min() - y1) <= 1.5
        assert abs(rows.max() + 1 - y2) <= 1.5
    assert len(labelling.boxes) == len(labelling.scores) == int(labelled.any())


def test_crops_differ_but_by_their_random_numbers_alone() -> None:
    def crop(seed: int) -> np.ndarray:
        return random_crop(*picture(), settings=SMALL, random=np.random.default_rng(seed))[0]
    assert np.array_equal(crop(1), crop(1))
    assert len({crop(seed).tobytes() for seed in range(8)}) == 8


@pytest.mark.parametrize('size', [(6, 9), (200, 9), (9, 200)])
def test_a_picture_may_be_smaller_than_a_crop(size: tuple[int, int]) -> None:
    frame, labelling = np.zeros((*size, 3), np.uint8), Labelling(np.zeros(size, np.uint8))
    cropped, labels = random_crop(
        frame, labelling, settings=SMALL, random=np.random.default_rng(0))
    assert (cropped.shape[:2], labels.class_ids.shape) == ((32, 48), (32, 48))
    assert (labels.class_ids == 0).all()


@pytest.mark.parametrize('seed', range(10))
def test_a_square_stays_nearly_square_in_a_narrow_picture(seed: int) -> None:
    frame, class_ids = np.zeros((300, 12, 3), np.uint8), np.zeros((300, 12), np.uint8)
    box = np.array([[4, 100, 7, 103]], np.float32)
    _, labelling = random_crop(
        frame, Labelling(class_ids, box, np.ones(1, np.float32)),
        settings=CropSettings(32, 48, 8, on_objects=1), random=np.random.default_rng(seed))
    x1, y1, x2, y2 = labelling.boxes[0]
    assert 0.8 < (x2 - x1) / (y2 - y1) < 1.25


def test_crops_look_for_objects() -> None:
    """One object in a large picture is in nearly all crops that look for it, else in few."""
    def share(on_objects: float) -> float:
        settings = CropSettings(32, 48, 200, on_objects=on_objects)
        return float(np.mean([(random_crop(
            *picture(400, 600), settings=settings,
            random=np.random.default_rng(seed))[1].class_ids == 2).any() for seed in range(50)]))
    assert share(1.0) > 0.9
    assert share(0.0) < 0.5


@pytest.mark.parametrize(('wrong', 'words'), [
    ({'height': 0}, 'height: expected 1 or more, got 0'),
    ({'zoom': (2.0, 1.0)}, 'zoom: expected two rising numbers'),
    ({'zoom': (0.0, 1.0)}, 'zoom: expected two rising numbers'),
    ({'on_objects': 1.5}, 'on_objects: expected 0 to 1, got 1.5'),
])
def test_settings_that_are_none(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        CropSettings(**wrong)
