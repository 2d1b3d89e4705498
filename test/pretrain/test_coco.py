# SPDX-License-Identifier: Apache-2.0
"""A tiny set in COCO's form: polygons, run lengths, packed run lengths, a crowd."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.pretrain.coco import CocoError, decode, read_coco

SIZE = (6, 8)
# Columns 0-2 are zeros, then two columns of four ones from row 1 on, packed as COCO's own tools
# do it: runs of 19, 4, 2, 4 and 19 pixels, of which the fourth and fifth are differences.
RUNS = [19, 4, 2, 4, 19]
PACKED = 'c042' + '0' + 'a0'


def annotation(number: int, category: int, segmentation: Any, **more: Any) -> dict[str, Any]:
    return {'id': number, 'image_id': 7, 'category_id': category, 'segmentation': segmentation,
            'area': 9, **more}


@pytest.fixture
def data() -> dict[str, Any]:
    return {
        'images': [{'id': 7, 'file_name': 'a.png', 'height': SIZE[0], 'width': SIZE[1]}],
        'categories': [{'id': 1, 'name': 'person'}, {'id': 3, 'name': 'car'},
                       {'id': 4, 'name': 'auto'}, {'id': 90, 'name': 'toothbrush'}],
        'annotations': [
            annotation(2, 1, [[1, 1, 3, 1, 3, 4, 1, 4]], area=4),
            annotation(1, 3, {'size': list(SIZE), 'counts': RUNS}, area=8),
            annotation(3, 90, [[0, 0, 7, 0, 7, 5, 0, 5]], area=1)]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((*SIZE, 3), 200, np.uint8))

    def to_file(data: Any) -> Path:
        path = tmp_path / 'tiny.json'
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path
    return to_file


def test_a_picture_and_its_objects(
    data: Any, write: Callable[[Any], Path], tmp_path: Path, classes: ClassSet,
) -> None:
    footage = read_coco(tmp_path, write(data), classes)
    assert (footage.name, len(footage.samples)) == ('tiny', 1)
    frame, labelling = footage.samples[0].read()
    assert (frame.shape, int(frame[0, 0, 0])) == ((*SIZE, 3), 200)
    auto, other = classes.names.index('auto'), classes.background
    expected = np.full(SIZE, other)
    expected[1:5, 3:5] = auto
    expected[1:5, 1:4] = 0  # the person is smaller: on top
    assert labelling.class_ids.tolist() == expected.tolist()
    assert labelling.boxes.tolist() == [[3, 1, 5, 5], [1, 1, 4, 5]]


def test_a_crowd_is_drawn_below_all_else(
    data: Any, write: Callable[[Any], Path], tmp_path: Path, classes: ClassSet,
) -> None:
    everywhere = {'size': list(SIZE), 'counts': [0, SIZE[0] * SIZE[1]]}
    data['annotations'].append(annotation(4, 1, everywhere, iscrowd=1, area=1))
    labelling = read_coco(tmp_path, write(data), classes).samples[0].read()[1]
    assert (labelling.class_ids[1:5, 4] == classes.names.index('auto')).all()
    assert labelling.class_ids[0, 0] == 0


def test_a_category_may_be_a_class_of_the_set(
    data: Any, write: Callable[[Any], Path], tmp_path: Path, classes: ClassSet,
) -> None:
    data['annotations'][1]['category_id'] = 4
    labelling = read_coco(tmp_path, write(data), classes).samples[0].read()[1]
    assert labelling.class_ids[1, 4] == classes.names.index('auto')


@pytest.mark.parametrize(('packed', 'runs'), [
    (PACKED, RUNS), ('7`02Cb0', [7, 16, 2, 3, 20]), ('0`1', [0, 48]), ('`0P1', [16, 32])])
def test_packed_run_lengths_are_run_lengths(packed: str, runs: list[int]) -> None:
    assert decode({'size': SIZE, 'counts': packed}, SIZE).tolist() == decode(
        {'size': SIZE, 'counts': runs}, SIZE).tolist()


def _without_images(data: Any) -> None:
    del data['images']


def _no_known_class(data: Any) -> None:
    data['annotations'] = data['annotations'][2:]


def _no_picture(data: Any) -> None:
    data['images'][0]['file_name'] = 'b.png'


def _unknown_category(data: Any) -> None:
    data['annotations'][0]['category_id'] = 5


@pytest.mark.parametrize(('damage', 'words'), [
    (_without_images, "COCO format: KeyError\\('images'"),
    (_unknown_category, 'COCO format: KeyError\\(5'),
    (_no_known_class, 'expected objects of person, .* there are none in 1 pictures'),
    (_no_picture, '1 of 1 pictures are missing, for example .*b.png'),
])
def test_annotations_that_are_no_good(
    data: Any, write: Callable[[Any], Path], tmp_path: Path, classes: ClassSet,
    damage: Callable[[Any], None], words: str,
) -> None:
    damage(data)
    with pytest.raises(CocoError, match=words):
        read_coco(tmp_path, write(data), classes)


@pytest.mark.parametrize('text', [
    '{', '[]', '{"images": 3}', 50_000 * '[', '\xff',
    '{"categories": [], "annotations": [], "images": [{"id": 1, "file_name": "", '
    '"height": Infinity, "width": 1}]}'])
def test_a_file_that_is_no_annotations(
    write: Callable[[Any], Path], tmp_path: Path, classes: ClassSet, text: str,
) -> None:
    with pytest.raises(CocoError, match=r'tiny\.json: expected annotations in COCO format'):
        read_coco(tmp_path, write(text), classes)


@pytest.mark.parametrize('segmentation', [
    {'size': [6, 9], 'counts': RUNS}, {'size': list(SIZE), 'counts': [1, 2]},
    {'size': list(SIZE), 'counts': [-1, 49]}, {'size': list(SIZE), 'counts': 'é'},
    {'size': list(SIZE), 'counts': 'P'}, {'counts': RUNS}, [[1, 2, 3]], 5,
    {'size': list(SIZE), 'counts': 4 * [1 << 62] + [48]},  # 2^64 and 48: 48 in 64 bits
    {'size': list(SIZE), 'counts': [10**400, 48]}, [[0, 0, 1e308, 0, 0, 5]],
    [[0, 0, float('nan'), 0, 0, 5]], [[0, 0, 1 << 31, 0, 0, 5]], {'size': 5, 'counts': RUNS}])
def test_a_segmentation_that_is_no_good_is_named(
    data: Any, write: Callable[[Any], Path], tmp_path: Path, classes: ClassSet, segmentation: Any,
) -> None:
    data['annotations'][0]['segmentation'] = segmentation
    sample = read_coco(tmp_path, write(data), classes).samples[0]
    with pytest.raises(CocoError, match=r'a\.png: annotation 2: '):
        sample.read()


def test_a_picture_of_another_size(
    data: Any, write: Callable[[Any], Path], tmp_path: Path, classes: ClassSet,
) -> None:
    data['images'][0]['height'] = 5
    with pytest.raises(CocoError, match=r'expected an image of \(5, 8\), got \(6, 8\)'):
        read_coco(tmp_path, write(data), classes).samples[0].read()
