# SPDX-License-Identifier: Apache-2.0
"""What every Inference promises, shown on the local one and on shared ones."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import numpy as np
import pytest
from runtime.near import SESSION, Shared, whole_update
from scene import Scene
import torch

from shadowtutor_ros.frame import BadFrame, Frame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.inference import Inference, LocalInference
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.schedule import dealer
from shadowtutor_ros.wire.camera_picture import CameraPicture


@pytest.fixture
def student(info: StudentInfo) -> Student:
    return Student.random(info, 1)


@pytest.fixture(params=['local', 'frames', 'pipeline', 'auto'])
def inference(
    student: Student, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Inference]:
    monkeypatch.setattr(dealer, '_GRACE', 60.0)  # on a busy machine nobody is given up
    if request.param == 'local':
        yield LocalInference(student)
        return
    shared = Shared(student, request.param)
    yield shared
    shared.close()


def submit(inference: Inference, frame: Frame) -> Future[Mask]:
    inference.wait()
    return inference.submit(CameraPicture.of(frame))


def test_new_weights_are_a_barrier(
    inference: Inference, student: Student, info: StudentInfo, scene: Scene,
) -> None:
    versions = [Student.random(info, seed) for seed in range(1, 6)]
    expected, futures = [], []
    for version, weights in enumerate(versions):
        if version:
            inference.load(weights.weights(FULL), whole_update(weights, 1 + version))
            for name, tensor in student.weights(FULL).items():
                assert torch.equal(tensor, weights.weights(FULL)[name]), name
        for frame in scene.frames[:8]:
            expected.append(weights.segment(frame))
            futures.append(submit(inference, frame))
    assert not np.array_equal(expected[0], expected[8])
    for future, mask in zip(futures, expected, strict=True):
        np.testing.assert_array_equal(future.result(60), mask)


def test_another_student_is_a_barrier(
    inference: Inference, student: Student, scene: Scene,
) -> None:
    other = Student.random(StudentInfo(('one', 'background')), 2)
    expected = [student.segment(scene.frames[0])] * 4
    futures = [submit(inference, scene.frames[0]) for _ in range(4)]
    inference.exchange(RunningStudent(other, SESSION + 1, 5))
    expected += [other.segment(scene.frames[0])] * 8
    futures += [submit(inference, scene.frames[0]) for _ in range(8)]
    for future, mask in zip(futures, expected, strict=True):
        np.testing.assert_array_equal(future.result(60), mask)


def test_what_goes_wrong_is_the_answer_and_the_next_frame_is_answered(
    inference: Inference, student: Student, scene: Scene,
) -> None:
    inference.wait()
    bad = inference.submit(CameraPicture((4, 4), lambda: np.zeros((4, 4, 4), np.uint8)))
    with pytest.raises(BadFrame):
        bad.result(60)
    good = submit(inference, scene.frames[0])
    np.testing.assert_array_equal(good.result(60), student.segment(scene.frames[0]))


def test_weights_that_do_not_fit_change_nothing(inference: Inference, student: Student) -> None:
    before = {name: tensor.clone() for name, tensor in student.weights(FULL).items()}
    name = next(iter(before))
    for tensors in {name: torch.zeros(1)}, {'none': torch.zeros(1)}:
        with pytest.raises((KeyError, ValueError)):
            inference.load(tensors, whole_update(student, 2))
    for name, tensor in student.weights(FULL).items():
        assert torch.equal(tensor, before[name]), name
