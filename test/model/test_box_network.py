# SPDX-License-Identifier: Apache-2.0
"""The network for boxes: the paper's up to SB6, and what is behind it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.model.groups import FULL, PARTIAL, shapes_of
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import BOXES
from shadowtutor_ros.tasks.detection.target import cells_of
from shadowtutor_ros.tasks.table import DETECTION
from shadowtutor_ros.teacher.protocol import Labelling


@pytest.fixture
def student(info: StudentInfo) -> Student:
    return Student.random(replace(info, task=DETECTION, architecture=BOXES), 0)


def test_all_before_its_last_layers_is_the_papers(student: Student, info: StudentInfo) -> None:
    own = shapes_of(student.weights(FULL))
    paper = shapes_of(Student.random(info, 0).weights(FULL))
    assert {name for name in own if name not in paper} == {
        name for name in own if name.startswith(('sb7.', 'out_conv.'))}
    assert all(own[name] == paper[name] for name in own if name in paper)
    assert sum(tensor.numel() for tensor in student.weights(FULL).values()) == 511_236
    assert sum(tensor.numel() for tensor in student.weights(PARTIAL).values()) == 130_828


@pytest.mark.parametrize('size', [(1, 1), (9, 7), (64, 96), (33, 50), (96, 128)])
def test_it_answers_frames_of_any_size(student: Student, size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    with torch.inference_mode():
        output = student.network.back(student.network.front(student.prepare(frame)))
    assert output.shape == (1, 8 + 4, *cells_of(size))
    assert student.segment(frame).shape == (100, 6)


def test_before_it_has_learnt_anything_it_says_nothing(student: Student) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    assert student.segment(frame)[:, 4].max() < 0.25


@pytest.mark.parametrize('group', [PARTIAL, FULL])
def test_a_lesson_teaches_it_the_boxes_of_a_frame(student: Student, group: str) -> None:
    frame = np.random.default_rng(0).integers(60, 110, (96, 128, 3), np.uint8)
    frame[20:68, 16:40] = 40, 40, 220
    class_ids = np.full((96, 128), 8, np.uint8)
    class_ids[20:68, 16:40] = 0
    known = Labelling(class_ids, np.array([[16, 20, 40, 68]], np.float32),
                      np.ones(1, np.float32), np.zeros(1, np.uint8))
    lesson = Trainer(student, DistillSettings(
        max_updates=60, cold_start_updates=60, group=group, cold_start_group=group,
        practice='none', threshold=0.95)).train(frame, known)
    assert lesson.initial_metric == 0
    assert lesson.metric >= 0.95
    box = student.segment(frame)[0]
    np.testing.assert_allclose(box[:4], known.boxes[0], atol=8)
    assert box[5] == 0
