# SPDX-License-Identifier: Apache-2.0
"""What every Inference promises, shown on the local one and on one that answers later."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import numpy as np
import pytest
from runtime.elsewhere import Elsewhere
from scene import Scene
import torch

from shadowtutor_ros.frame import BadFrame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.inference import Inference, LocalInference


@pytest.fixture
def student(info: StudentInfo) -> Student:
    return Student.random(info, 1)


@pytest.fixture(params=[LocalInference, Elsewhere])
def inference(student: Student, request: pytest.FixtureRequest) -> Iterator[Inference]:
    inference: Inference = request.param(student)
    yield inference
    if isinstance(inference, Elsewhere):
        inference.close()


def answers(inference: Inference, futures: list[Future[Mask]]) -> list[Mask]:
    if isinstance(inference, Elsewhere):
        inference.go.set()
    return [future.result(60) for future in futures]


def test_new_weights_are_a_barrier(
    inference: Inference, student: Student, info: StudentInfo, scene: Scene,
) -> None:
    other = Student.random(info, 2)
    before = [student.segment(frame) for frame in scene.frames[:2]]
    after = [other.segment(frame) for frame in scene.frames[:2]]
    assert not np.array_equal(before[0], after[0])
    futures = [inference.submit(frame) for frame in scene.frames[:2]]
    inference.load(other.weights(FULL), 3)
    for name, tensor in student.weights(FULL).items():
        assert torch.equal(tensor, other.weights(FULL)[name]), name
    futures += [inference.submit(frame) for frame in scene.frames[:2]]
    for mask, expected in zip(answers(inference, futures), before + after, strict=True):
        np.testing.assert_array_equal(mask, expected)


def test_what_goes_wrong_is_the_answer_and_the_next_frame_is_answered(
    inference: Inference, student: Student, scene: Scene,
) -> None:
    bad = inference.submit(np.zeros((4, 4, 4), np.uint8))
    good = inference.submit(scene.frames[0])
    np.testing.assert_array_equal(
        answers(inference, [good])[0], student.segment(scene.frames[0]))
    with pytest.raises(BadFrame):
        bad.result()


def test_weights_that_do_not_fit_change_nothing(inference: Inference, student: Student) -> None:
    before = {name: tensor.clone() for name, tensor in student.weights(FULL).items()}
    name = next(iter(before))
    for tensors in {name: torch.zeros(1)}, {'none': torch.zeros(1)}:
        with pytest.raises((KeyError, ValueError)):
            inference.load(tensors, 2)
    for name, tensor in student.weights(FULL).items():
        assert torch.equal(tensor, before[name]), name
