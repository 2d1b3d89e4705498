# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.labels import cache_folder, label_frames
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling


class Counting(LabelsTeacher):
    calls = 0

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        self.calls += 1
        return super().label(frame, stamp)


def test_a_video_is_labelled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene, classes: ClassSet,
) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path))
    teacher = Counting(scene.label_maps, classes, scene.fps)
    for calls in (5, 5):
        labels = label_frames(scene.frames, 5, scene.fps, teacher, classes)
        np.testing.assert_array_equal(labels, scene.labels[:5])
        assert teacher.calls == calls
    label_frames(scene.frames, 6, scene.fps, teacher, classes)
    assert teacher.calls == 11
    teacher.version = 'newer'
    label_frames(scene.frames, 6, scene.fps, teacher, classes)
    assert teacher.calls == 17


def test_a_damaged_cache_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scene: Scene, classes: ClassSet,
) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path))
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    label_frames(scene.frames, 3, scene.fps, teacher, classes)
    (cached,) = (cache_folder() / 'labels').iterdir()
    cached.write_bytes(cached.read_bytes()[:100])
    labels = label_frames(scene.frames, 3, scene.fps, teacher, classes)
    np.testing.assert_array_equal(labels, scene.labels[:3])
