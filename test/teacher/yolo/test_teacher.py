# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from shadowtutor_ros.assets import cache_folder
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import BatchTeacher, StampedFrame, TeacherOptions
from shadowtutor_ros.teacher.yolo import teacher as module, YoloTeacher
from shadowtutor_ros.teacher.yolo.modules import SegmentationModel
from shadowtutor_ros.video import Capture


@pytest.fixture
def options(
    classes: ClassSet, tiny: SegmentationModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> TeacherOptions:
    """Options of a teacher whose network is a tiny one."""
    weights = tmp_path / 'tiny.pt'
    weights.write_bytes(b'weights')
    monkeypatch.setattr(module, 'load_network', lambda path: tiny)
    return TeacherOptions('yolo', classes, weights)


def frames(*sizes: tuple[int, int]) -> list[StampedFrame]:
    generator = np.random.default_rng(0)
    return [StampedFrame(generator.integers(0, 256, (*size, 3), np.uint8)) for size in sizes]


@pytest.mark.parametrize('together', [1, 2, 8])
def test_frames_of_several_sizes_are_labelled_as_each_alone(
    options: TeacherOptions, together: int,
) -> None:
    teacher = YoloTeacher(options, image_size=96)
    assert isinstance(teacher, BatchTeacher)
    seen = frames((64, 96), (96, 64), (64, 96), (128, 192), (96, 96), (32, 48), (64, 96))
    alone = [teacher.label(stamped.frame) for stamped in seen]
    teacher._together = together  # on a CPU it takes them one by one
    for one, labelling, stamped in zip(alone, teacher.label_many(seen), seen, strict=True):
        assert labelling.class_ids.shape == stamped.frame.shape[:2]
        assert (labelling.class_ids == one.class_ids).mean() > 0.999
        np.testing.assert_allclose(labelling.boxes, one.boxes, atol=1e-3)
        np.testing.assert_allclose(labelling.scores, one.scores, atol=1e-5)
    assert min(len(one.boxes) for one in alone) > 0
    assert len({one.class_ids.tobytes() for one in alone}) == len(seen)
    assert teacher.label_many([]) == []


def test_a_teacher_of_another_dtype_is_another_version(options: TeacherOptions) -> None:
    exact = YoloTeacher(options, image_size=96)
    reference = exact.label(frames((48, 64))[0].frame)
    half = YoloTeacher(options, image_size=96, dtype=torch.bfloat16)
    assert exact.version != half.version
    labelling = half.label(frames((48, 64))[0].frame)
    assert (labelling.class_ids == reference.class_ids).mean() > 0.7


def test_real_weights_find_the_pedestrians(classes: ClassSet) -> None:
    weights, clip = cache_folder() / 'yolov5s-seg.pt', cache_folder() / 'vtest.avi'
    if not (weights.is_file() and clip.is_file()):
        pytest.skip(f'{weights} or {clip} is not there')
    teacher = create_teacher('yolo', classes, weights=str(weights), score_threshold=0.4)
    frame = next(iter(Capture(str(clip))))
    labelling = teacher.label(frame)
    assert labelling.class_ids.shape == frame.shape[:2]
    people = (labelling.class_ids == 0).mean()
    assert 0.005 < people < 0.1
    assert len(labelling.boxes) >= 4
    assert teacher.label(np.zeros((50, 30, 3), np.uint8)).boxes.shape == (0, 4)


def test_two_real_networks_agree_where_the_pedestrians_are(classes: ClassSet) -> None:
    files = [cache_folder() / name for name in ('yolov7-seg.pt', 'yolov5s-seg.pt', 'vtest.avi')]
    if missing := [str(file) for file in files if not file.is_file()]:
        pytest.skip(f'not there: {", ".join(missing)}')
    frame = next(iter(Capture(str(files[2]))))
    large, small = (
        create_teacher('yolo', classes, weights=str(file), score_threshold=0.4).label(frame).boxes
        for file in files[:2])
    best = [max(_iou(box, other) for other in large) for box in small]
    assert np.median(best) > 0.85


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = max(width, 0) * max(height, 0)
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))


def test_real_frames_together_are_labelled_as_each_alone(classes: ClassSet) -> None:
    weights, clip = cache_folder() / 'yolov5s-seg.pt', cache_folder() / 'vtest.avi'
    if not (weights.is_file() and clip.is_file()):
        pytest.skip(f'{weights} or {clip} is not there')
    teacher = create_teacher('yolo', classes, weights=str(weights), score_threshold=0.4)
    assert isinstance(teacher, YoloTeacher)
    whole = next(iter(Capture(str(clip))))
    seen = [StampedFrame(whole), StampedFrame(np.ascontiguousarray(whole[:, ::-1])),
            StampedFrame(whole[100:400, 100:700])]
    alone = [teacher.label(stamped.frame) for stamped in seen]
    teacher._together = 8
    for one, labelling in zip(alone, teacher.label_many(seen), strict=True):
        assert (labelling.class_ids == one.class_ids).mean() > 0.9999
        np.testing.assert_allclose(labelling.boxes, one.boxes, atol=1e-2)
