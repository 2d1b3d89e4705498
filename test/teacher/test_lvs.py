# SPDX-License-Identifier: Apache-2.0
import _codecs
from collections import OrderedDict
from contextlib import suppress
import os
from pathlib import Path
import pickle
from typing import Any

import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet, COCO_NAMES
from shadowtutor_ros.teacher.array_pickle import UntrustedFile
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.lvs import LvsTeacher
from shadowtutor_ros.teacher.protocol import TeacherError

PERSON, CAR, CHAIR = (COCO_NAMES.index(name) + 1 for name in ('person', 'car', 'chair'))
FRAME = np.zeros((100, 200, 3), np.uint8)
Detections = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def detections(*objects: tuple[list[float], int, float], mask: float = 1.0) -> Detections:
    """Objects of box (y1, x1, y2, x2 as fractions), COCO number and score."""
    count = len(objects)
    return (np.array([o[0] for o in objects], np.float64).reshape(count, 4),
            np.array([o[1] for o in objects], np.int64),
            np.array([o[2] for o in objects], np.float32),
            np.full((count, 28, 28), mask, np.float32))


def saved(tmp_path: Path, content: Any, protocol: int | None = None) -> Path:
    path = tmp_path / 'detectron_large_mask_rcnn_1_test000.npy'
    if protocol is None:
        np.save(path, content, allow_pickle=True)
    else:
        array = np.empty((), object)
        array[()] = content
        with path.open('wb') as file:
            np.lib.format.write_array_header_1_0(
                file, {'descr': '|O', 'fortran_order': False, 'shape': ()})
            pickle.dump(array, file, protocol)
    return path


@pytest.mark.parametrize('protocol', [None, 2, 3, 4])
def test_objects_become_class_ids_by_stamp(
    tmp_path: Path, classes: ClassSet, protocol: int | None,
) -> None:
    path = saved(tmp_path, {
        0: detections(),
        1: detections(([0.1, 0.2, 0.5, 0.6], PERSON, 0.9), ([0.6, 0.0, 1.0, 0.5], CAR, 0.8)),
    }, protocol)
    teacher = create_teacher('labels', classes, weights=str(path), fps=10.0)
    assert isinstance(teacher, LvsTeacher)
    assert (teacher.label(FRAME, 0.0).class_ids == classes.background).all()

    labelling = teacher.label(FRAME, 0.1)
    expected = np.full((100, 200), classes.background, np.uint8)
    expected[10:50, 40:120] = classes.names.index('person')
    expected[60:100, 0:100] = classes.names.index('auto')
    np.testing.assert_array_equal(labelling.class_ids, expected)
    assert labelling.boxes.tolist() == [[0, 60, 100, 100], [40, 10, 120, 50]]
    np.testing.assert_allclose(labelling.scores, [0.8, 0.9])


def test_a_mask_is_stretched_over_its_box(tmp_path: Path, classes: ClassSet) -> None:
    boxes, coco, scores, masks = detections(([0.0, 0.0, 0.56, 0.56], PERSON, 0.9))
    masks[:, :, 14:] = 0
    path = saved(tmp_path, {0: (boxes, coco, scores, masks)})
    class_ids = LvsTeacher(path, classes, 25.0).label(FRAME).class_ids
    rows, columns = np.nonzero(class_ids != classes.background)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 55, 0, 55)


def test_the_surest_is_on_top_and_the_unsure_and_unknown_are_left_out(
    tmp_path: Path, classes: ClassSet,
) -> None:
    whole = [0.0, 0.0, 1.0, 1.0]
    path = saved(tmp_path, {0: detections(
        (whole, CAR, 0.7), ([0.0, 0.0, 1.0, 0.5], PERSON, 0.6), (whole, CHAIR, 0.99))})
    for threshold, expected in ((0.5, 'auto'), (0.65, 'auto'), (0.75, 'background')):
        teacher = create_teacher('labels', classes, weights=str(path), score_threshold=threshold)
        assert (teacher.label(FRAME).class_ids == classes.names.index(expected)).all()


def test_a_box_beyond_the_frame_is_cut(tmp_path: Path, classes: ClassSet) -> None:
    path = saved(tmp_path, {0: detections(([-0.1, -0.5, 0.1, 0.5], PERSON, 0.9),
                                          ([0.9, 0.9, 1.5, 1.5], PERSON, 0.9),
                                          ([0.5, 0.5, 0.5, 0.4], PERSON, 0.9))})
    objects = LvsTeacher(path, classes, 25.0).label(FRAME).class_ids != classes.background
    assert objects[:10, :100].all()
    assert objects[90:, 180:].all()
    assert objects.sum() == 10 * 100 + 10 * 20


def test_a_frame_without_detections_is_an_error(
    tmp_path: Path, classes: ClassSet, scene: Scene,
) -> None:
    teacher = LvsTeacher(saved(tmp_path, {0: detections()}), classes, 25.0)
    with pytest.raises(TeacherError, match=r'1 labelled frames, none at 1 s, which is frame 25'):
        teacher.label(scene.frames[0], 1.0)


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ('evil',)


TEXT = 'x' * 5000


class _ManyBytes:
    """Asks for the same text as bytes, once more."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _codecs.encode, (TEXT, 'latin1')


@pytest.mark.parametrize(('content', 'message'), [
    ({0: _Evil()}, 'the file names posix.mkdir'),
    ({0: OrderedDict()}, 'the file names collections.OrderedDict'),
    ({0: np.float64(1)}, r'the file names numpy\S+\.scalar'),
    ({0: np.array(['a'])}, 'expected arrays of numbers'),
    ({0: np.zeros(2, '>f4')}, 'expected little-endian numbers, got >f4'),
])
def test_what_no_detections_need_is_refused(
    tmp_path: Path, classes: ClassSet, content: Any, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, content)
    with pytest.raises(UntrustedFile, match=message) as error:
        LvsTeacher(path, classes, 25.0)
    assert path.name in str(error.value)
    assert not Path('evil').exists()


def test_a_small_file_cannot_ask_for_many_bytes(tmp_path: Path, classes: ClassSet) -> None:
    path = saved(tmp_path, {0: [_ManyBytes() for _ in range(100)]}, 4)
    assert path.stat().st_size < 100 * 5000 / 20
    with pytest.raises(UntrustedFile, match='got more than it has'):
        LvsTeacher(path, classes, 25.0)


@pytest.mark.parametrize(('content', 'message'), [
    ([1, 2], 'expected one pickled object'),
    (np.zeros((1, 2, 2), np.uint8), 'expected a pickled dict .* got an array of uint8'),
    ({'frame': detections()}, 'expected a dict with frame numbers as keys, got dict'),
])
def test_another_file_is_named(
    tmp_path: Path, classes: ClassSet, content: Any, message: str,
) -> None:
    path = saved(tmp_path, np.array(content, object) if isinstance(content, list) else content)
    with pytest.raises(TeacherError, match=message) as error:
        LvsTeacher(path, classes, 25.0)
    assert path.name in str(error.value)


GOOD = detections(([0.0, 0.0, 1.0, 1.0], PERSON, 0.9))


@pytest.mark.parametrize(('entry', 'message'), [
    (GOOD[:3], 'expected four arrays: boxes, classes, scores, masks, got tuple'),
    ((*GOOD[:3], 1), 'expected four arrays'),
    ((*GOOD[:3], np.array([[1]], object)), 'expected an array of numbers, got another array'),
    ((GOOD[0][:, :3], *GOOD[1:]), r'expected boxes Nx4, .* got \(\(1, 3\), \(1,\), \(1,\)'),
    ((*GOOD[:3], GOOD[3][0]), r'masks NxMxM, .* \(28, 28\)\)'),
    ((GOOD[0], np.array([81]), *GOOD[2:]), r'expected COCO numbers 1 to 80, got \[81\]'),
    ((GOOD[0], np.array([0]), *GOOD[2:]), r'expected COCO numbers 1 to 80, got \[0\]'),
    ((GOOD[0] * 1e9, *GOOD[1:]), 'expected boxes in fractions of the frame'),
    ((GOOD[0] * np.nan, *GOOD[1:]), 'expected boxes in fractions of the frame'),
])
def test_detections_that_are_none_are_named(
    tmp_path: Path, classes: ClassSet, entry: Any, message: str,
) -> None:
    teacher = LvsTeacher(saved(tmp_path, {3: entry}, 4), classes, 10.0)
    with pytest.raises(TeacherError, match=f'frame 3: .*{message}'):
        teacher.label(FRAME, 0.3)


def test_a_damaged_file_is_named(tmp_path: Path, classes: ClassSet) -> None:
    path = saved(tmp_path, {0: GOOD})
    good = path.read_bytes()
    for cut in (0, 5, 60, 140, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(TeacherError, match=path.name):
            LvsTeacher(path, classes, 25.0)
    rng = np.random.default_rng(0)
    for place in rng.integers(128, 500, 100):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xff]) + good[place + 1:])
        with suppress(TeacherError):
            LvsTeacher(path, classes, 25.0).label(FRAME)
    path.unlink()
    with pytest.raises(TeacherError, match='No such file'):
        LvsTeacher(path, classes, 25.0)
