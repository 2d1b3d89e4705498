# SPDX-License-Identifier: Apache-2.0
"""A helper does exactly what the robot would do, and loses its weights when in doubt."""

from dataclasses import replace

import numpy as np
import pytest
from scene import Scene
import torch

from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.helper import Helper
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.jobs import (
    Answer,
    decode_answer,
    encode_features,
    encode_job,
    encode_student,
    encode_update,
)
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame
from shadowtutor_ros.wire.piece_messages import update_from_bytes, update_to_bytes
from shadowtutor_ros.wire.update import StudentUpdate, verify_update

SESSION, VERSION = 5, 3
CPU = torch.device('cpu')


class Robot:
    """A student, what its helper is sent, and what it answers."""

    def __init__(self, info: StudentInfo, precision: torch.dtype = torch.float32) -> None:
        self.student = Student.random(info, 2)
        self.student.precision = precision
        self.version = VERSION
        self.helper = Helper(CPU, update_from_bytes)

    def teach(self) -> bytes | None:
        return self.helper.handle(encode_student(
            self.student.info, self.student.weights(FULL), self.student.precision, SESSION,
            self.version))

    def update(self, encoding: str = 'delta-dct') -> StudentUpdate:
        running = self.student.weights(PARTIAL)
        generator = torch.Generator().manual_seed(self.version)
        taught = {name: tensor + 0.02 * torch.randn(tensor.shape, generator=generator)
                  for name, tensor in running.items()}
        encoded = next(iter(WEIGHT_ENCODINGS[encoding].encode(taught, running, {}, 1.0)))
        return StudentUpdate(
            'robot', 1, 0, '', self.student.layout_hash, PARTIAL, SESSION,
            self.version, self.version + 1, encoded)

    def learn(self, update: StudentUpdate) -> bytes | None:
        self.student.load(verify_update(update, self.student, SESSION, self.version))
        self.version = update.version
        return self.helper.handle(encode_update(update_to_bytes(update)))

    def ask(self, encoded: EncodedFrame, version: int | None = None) -> Answer:
        answer = self.helper.handle(encode_job(
            7, (SESSION, self.version if version is None else version), encoded), 0.5)
        assert answer is not None
        return decode_answer(answer)

    def ask_features(self, frame: np.ndarray) -> Answer:
        answer = self.helper.handle(encode_features(
            7, (SESSION, self.version), frame.shape[:2], self.student.front(frame)))
        assert answer is not None
        return decode_answer(answer)


@pytest.mark.parametrize('precision', [torch.float32, torch.bfloat16])
def test_masks_are_the_robots_own_through_all_updates(
    scene: Scene, info: StudentInfo, precision: torch.dtype,
) -> None:
    robot = Robot(info, precision)
    assert robot.teach() is None
    masks = set()
    for frame, encoding in zip(scene.frames, ['delta-dct', 'delta', 'fp16', 'fp32'] * 2):
        answer = robot.ask(encode_frame(frame, 'png'))
        assert answer.mask is not None
        assert np.array_equal(answer.mask, robot.student.segment(frame))
        assert answer.service_seconds > 0
        assert answer.waited_seconds == 0.5
        masks.add(answer.mask.tobytes())
        assert robot.learn(robot.update(encoding)) is None
    assert robot.helper.version == robot.version == VERSION + 8
    assert (robot.helper.frames, robot.helper.failures, robot.helper.needs) == (8, 0, '')
    assert len(masks) > 4


def test_the_back_alone_gives_the_same_mask_in_bf16(scene: Scene, info: StudentInfo) -> None:
    robot = Robot(info, torch.bfloat16)
    robot.teach()
    for frame in scene.frames[:4]:
        answer = robot.ask_features(frame)
        assert answer.mask is not None
        assert np.array_equal(answer.mask, robot.student.segment(frame))


def test_the_back_alone_gives_nearly_the_same_mask_in_fp32(
    scene: Scene, info: StudentInfo,
) -> None:
    robot = Robot(info)
    robot.teach()
    frame = scene.frames[0]
    answer = robot.ask_features(frame)
    assert answer.mask is not None
    assert (answer.mask == robot.student.segment(frame)).mean() > 0.99


def test_a_frame_that_cannot_be_read_costs_only_itself(scene: Scene, info: StudentInfo) -> None:
    robot = Robot(info)
    robot.teach()
    bad = robot.ask(EncodedFrame('png', b'no picture'))
    assert bad.mask is None
    assert bad.error.startswith('BadKeyFrame: ')
    assert not bad.needs_student
    assert robot.ask(encode_frame(scene.frames[0], 'png')).mask is not None
    assert (robot.helper.frames, robot.helper.failures) == (1, 1)


def test_a_frame_for_other_weights_is_not_done(scene: Scene, info: StudentInfo) -> None:
    robot = Robot(info)
    robot.teach()
    answer = robot.ask(encode_frame(scene.frames[0], 'png'), VERSION + 1)
    assert answer.mask is None
    assert f'expected a frame for version {VERSION} of session' in answer.error


@pytest.mark.parametrize(('change', 'said'), [
    ({'version': VERSION}, 'StaleUpdate'), ({'layout_hash': 1}, 'LayoutMismatch'),
    ({'session_id': 9}, 'StaleUpdate')])
def test_an_update_that_does_not_fit_costs_the_weights(
    scene: Scene, info: StudentInfo, change: dict[str, int], said: str,
) -> None:
    robot = Robot(info)
    robot.teach()
    bad = robot.helper.handle(encode_update(update_to_bytes(replace(robot.update(), **change))))
    assert bad is not None
    assert decode_answer(bad).needs_student
    assert decode_answer(bad).error.startswith(said)
    assert robot.helper.needs.startswith(said)
    assert 'no weights' in robot.ask(encode_frame(scene.frames[0], 'png')).error
    assert robot.teach() is None
    assert robot.ask(encode_frame(scene.frames[0], 'png')).mask is not None


def test_a_precision_that_the_device_lacks_is_refused(info: StudentInfo) -> None:
    answer = Robot(info, torch.float16).teach()
    assert answer is not None
    assert 'fp16 needs a GPU' in decode_answer(answer).error
    assert decode_answer(answer).needs_student


def test_a_task_without_masks_is_refused(info: StudentInfo) -> None:
    robot = Robot(replace(info, task='detection', architecture='shadowtutor-boxes'))
    answer = robot.teach()
    assert answer is not None
    assert 'expected segmentation' in decode_answer(answer).error


def test_who_has_no_weights_says_so(scene: Scene, info: StudentInfo) -> None:
    robot = Robot(info)
    assert 'no student yet' in robot.ask(encode_frame(scene.frames[0], 'png')).error
    answer = robot.learn(robot.update())
    assert answer is not None
    assert decode_answer(answer).needs_student
