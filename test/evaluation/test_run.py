# SPDX-License-Identifier: Apache-2.0
"""Settings in one process on the small scene."""

from __future__ import annotations

from dataclasses import replace
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip, LabelledClip
from shadowtutor_ros.evaluation.run import Run, run_in_process, RunError
from shadowtutor_ros.evaluation.setting import load_setting, Setting
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling, TeacherError

FRAMES = 24


@pytest.fixture(scope='module')
def labelled(scene: Scene, classes: ClassSet) -> LabelledClip:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    return label_clip(Clip(scene.video, FRAMES), teacher, classes)


def run(labelled: LabelledClip, setting: Setting, info: StudentInfo) -> Run:
    return run_in_process(labelled, setting, Student.random(info, 0), (5,), lambda index: None)


def test_wild_is_the_untaught_student(
    labelled: LabelledClip, scene: Scene, info: StudentInfo,
) -> None:
    student = Student.random(info, 0)
    result = run(labelled, load_setting('wild'), info)
    for index, record in enumerate(result.records):
        mask = student.segment(scene.frames[index])
        assert record.miou == mean_iou_of_masks(mask, scene.labels[index], len(info.class_names))
        assert not record.key_frame
        assert record.t_si > 0
    np.testing.assert_array_equal(result.masks[5], student.segment(scene.frames[5]))


@pytest.mark.parametrize(('name', 'up', 'down'), [
    ('naive', lambda frame, label: 96 * 128 * 3, lambda frame, label: 96 * 128),
    ('naive-jpeg',
     lambda frame, label: len(cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 85])[1]),
     lambda frame, label: len(cv2.imencode('.png', label)[1]))])
def test_naive_pays_for_every_frame(  # type: ignore[no-untyped-def]
    name: str, up, down, labelled: LabelledClip, scene: Scene, info: StudentInfo,
) -> None:
    for index, record in enumerate(run(labelled, load_setting(name), info).records):
        assert (record.miou, record.key_frame, record.staleness) == (1.0, True, 0)
        assert record.bytes_up == up(scene.frames[index], scene.labels[index])
        assert record.bytes_down == down(scene.frames[index], scene.labels[index])


@pytest.mark.parametrize(('name', 'delay', 'bytes_down'), [
    ('partial-1', 1, 413_860), ('partial-8', 8, 413_860), ('full-1', 1, 1_935_492)])
def test_the_papers_settings(
    name: str, delay: int, bytes_down: int, labelled: LabelledClip, info: StudentInfo,
) -> None:
    setting = load_setting(name)
    setting = replace(setting, distill=replace(
        setting.distill, max_updates=2, cold_start_updates=2))
    records = run(labelled, setting, info).records
    keys = [record.frame for record in records if record.key_frame]
    assert keys == [0, 8, 16]
    for record in records:
        newest = max((key for key in keys if key <= record.frame - delay), default=None)
        assert (record.staleness == record.frame - newest if newest is not None
                else math.isnan(record.staleness))
    for key in keys:
        record = records[key]
        assert (record.bytes_up, record.bytes_down) == (96 * 128 * 3, bytes_down)
        assert (record.steps, math.isnan(record.t_si)) == (2, True)
        assert record.t_sd > 0
        assert 0 <= record.initial_metric <= record.metric <= 1
    assert sum(record.bytes_up for record in records) == 3 * 96 * 128 * 3


def test_the_same_again_to_the_last_digit(labelled: LabelledClip, info: StudentInfo) -> None:
    setting = load_setting('ours')
    first, second = (run(labelled, setting, info) for _ in range(2))
    for one, other in zip(first.records, second.records):
        assert repr((one.miou, one.iou)) == repr((other.miou, other.iou))


def test_the_first_student_stays_as_it_is(labelled: LabelledClip, info: StudentInfo) -> None:
    student = Student.random(info, 0)
    before = {name: tensor.clone() for name, tensor in student.weights(FULL).items()}
    run_in_process(labelled, load_setting('ours'), student, (), lambda index: None)
    assert all(before[name].equal(tensor) for name, tensor in student.weights(FULL).items())


def test_resampling_leaves_frames_out(labelled: LabelledClip, info: StudentInfo) -> None:
    seen: list[int] = []
    setting = replace(load_setting('partial-1-7fps'), resample_fps=10.0)
    result = run_in_process(labelled, setting, Student.random(info, 0), (5, 10), seen.append)
    assert [r.frame for r in result.records] == [0, 2, 5, 8, 10, 12, 15, 18, 20, 22]
    assert seen == list(range(FRAMES))
    assert set(result.masks) == {5, 10}


def test_a_failing_key_frame_is_named(
    labelled: LabelledClip, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: LabelsTeacher, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        raise TeacherError('no label today')

    monkeypatch.setattr(LabelsTeacher, 'label', fail)
    with pytest.raises(RunError, match='video: ours: frame 0: TeacherError: no label today'):
        run(labelled, load_setting('ours'), info)


def test_teaching_helps(labelled: LabelledClip, info: StudentInfo) -> None:
    wild, ours = (np.mean([r.miou for r in run(labelled, load_setting(name), info).records[12:]])
                  for name in ('wild', 'ours'))
    assert ours > wild + 0.2


def test_an_image_folder_of_one_frame(
    scene: Scene, classes: ClassSet, info: StudentInfo, tmp_path: Path,
) -> None:
    cv2.imwrite(str(tmp_path / '0.png'), scene.frames[0])
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    labelled = label_clip(Clip(tmp_path), teacher, classes)
    (record,) = run(labelled, load_setting('partial-8'), info).records
    assert record.key_frame
    assert math.isnan(record.metric)  # the video ended before the answer
