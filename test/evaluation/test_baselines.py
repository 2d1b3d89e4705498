# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.demo.summary import Summary
from shadowtutor_ros.evaluation.baselines import naive_jpeg_bytes, naive_raw_bytes, wild_miou
from shadowtutor_ros.evaluation.pictures import plot_miou, side_by_side
from shadowtutor_ros.model.student import Student, StudentInfo

SUMMARY = Summary(
    video='x.mp4', teacher='labels', frames=200, miou=73.5, wild_miou=7.0, key_frames=14,
    key_frame_ratio=7.0, steps_per_key_frame=6.5, bytes_up_per_key_frame=102400.0,
    bytes_down_per_key_frame=204800.0, bytes_per_frame=21504.0,
    naive_raw_bytes_per_frame=3686400.0, naive_jpeg_bytes_per_frame=107520.0, fps=2.0,
    failures=0)


def test_the_summary_is_scriptable(tmp_path: Path) -> None:
    path = tmp_path / 'summary.json'
    SUMMARY.write(path)
    assert Summary(**json.loads(path.read_text())) == SUMMARY


def test_the_table_compares_with_naive_offloading() -> None:
    lines = dict(line.strip().split('  ', 1) for line in SUMMARY.table().splitlines())
    assert lines['every frame offloaded as JPEG'].strip() == '105.0 KiB (5.0 x ours)'
    assert lines['key frames'].strip() == '14 (7.0 % of frames)'
    assert lines['same student left alone'].strip() == '7.0 %'


def test_a_run_without_traffic_has_a_table_too() -> None:
    assert 'offloaded raw' in replace(SUMMARY, bytes_per_frame=0.0).table()


def test_raw_offloading_at_720p_is_the_papers() -> None:
    assert naive_raw_bytes(np.zeros((720, 1280, 3), np.uint8)) == 2_764_800 + 921_600


def test_jpeg_offloading_counts_both_directions(scene: Scene) -> None:
    frames, labels = scene.frames[:2], np.stack(scene.labels[:2])
    up = [len(cv2.imencode('.jpg', f, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]) for f in frames]
    down = [len(cv2.imencode('.png', m)[1]) for m in labels]
    assert naive_jpeg_bytes(frames, labels, 80) == pytest.approx(sum(up + down) / 2)


def test_wild_is_the_untaught_student(
    scene: Scene, info: StudentInfo, classes: ClassSet,
) -> None:
    student = Student.random(info, 0)
    masks = np.stack([student.segment(frame) for frame in scene.frames[:2]])
    assert wild_miou(student, scene.frames[:2], masks) == [1.0, 1.0]
    assert max(wild_miou(student, scene.frames[:2], np.stack(scene.labels[:2]))) < 0.5


def test_pictures(tmp_path: Path, scene: Scene, classes: ClassSet) -> None:
    frame, label = scene.frames[0], scene.labels[0]
    picture = side_by_side(frame, label, label, classes.colours, ('a', 'b', 'c'))
    assert picture.shape[1] == 3 * frame.shape[1]
    below = picture[-frame.shape[0]:]
    np.testing.assert_array_equal(below[:, :frame.shape[1]], frame)
    assert (below[:, frame.shape[1]:] != np.hstack([frame, frame])).any()
    path = tmp_path / 'miou.png'
    plot_miou(path, 'title', [0.1, 0.9], [0.1, 0.1], [0])
    assert cv2.imread(str(path)).std() > 0
