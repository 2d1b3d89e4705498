# SPDX-License-Identifier: Apache-2.0
from array import array
from dataclasses import fields, replace
import math
from typing import Any

import pytest
from rclpy.serialization import deserialize_message, serialize_message
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import StudentUpdate as StudentUpdateMsg, WeightTensor
from shadowtutor_msgs.srv import GetStudent

from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.wire.errors import BadKeyFrame, CorruptUpdate
from shadowtutor_ros.wire.key_frame import EncodedFrame
from shadowtutor_ros.wire.messages import (
    clipped,
    fill_info,
    goal_from_key_frame,
    info_from_response,
    key_frame_from_goal,
    payload_of,
    quoted,
    stamp_from_msg,
    stamp_to_msg,
    update_from_msg,
    update_to_msg,
)
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate
from shadowtutor_ros.wire.weights import encode_weights, MAX_PAYLOAD, MAX_TENSORS

pytestmark = pytest.mark.ros


@pytest.fixture
def update(info: StudentInfo) -> StudentUpdate:
    student = Student.random(info, 0)
    return StudentUpdate(
        'robot', 7, 1_500_000_001, 'camera', student.layout_hash, PARTIAL, 2**63 + 5, 3, 9,
        encode_weights(student.weights(PARTIAL), 'fp16'), 0.25, 0.75, 6, 0.001, 0.5, 1.25,
        240)


@pytest.mark.parametrize('stamp', [0, 1, 999_999_999, 1_700_000_000_123_456_789])
def test_stamps_keep_their_nanoseconds(stamp: int) -> None:
    assert stamp_from_msg(stamp_to_msg(stamp)) == stamp


def test_a_key_frame_comes_back_from_the_wire() -> None:
    key_frame = KeyFrame('robot', 3, 2**64 - 1, 8, 12_000_000_034, 'camera',
                         EncodedFrame('jpeg', bytes(range(256))), 2**64 - 2, 0.125, 2**32 - 1)
    goal = deserialize_message(
        serialize_message(goal_from_key_frame(key_frame)), Distill.Goal)
    assert key_frame_from_goal(goal) == key_frame


def test_a_student_that_is_handed_up_comes_back_from_the_wire_and_out_of_pieces() -> None:
    key_frame = KeyFrame('robot', 3, 5, 8, 0, 'camera', EncodedFrame('jpeg', b'image'), 2,
                         layout_hash=2**64 - 3, student=b'student')
    for channel in ('', '/channel'):
        goal = deserialize_message(
            serialize_message(goal_from_key_frame(key_frame, channel)), Distill.Goal)
        assert bytes(goal.student) == (b'' if channel else b'student')
        assert key_frame_from_goal(goal, payload_of(key_frame) if channel else None) == key_frame
    with pytest.raises(BadKeyFrame, match='expected a student of 7 bytes, got 6 bytes'):
        key_frame_from_goal(goal, b'studen')


@pytest.mark.parametrize('period', [math.nan, math.inf, -0.5])
def test_an_impossible_frame_period_is_refused(period: float) -> None:
    key_frame = KeyFrame('robot', 1, 0, 0, 0, '', EncodedFrame('jpeg', b''), frame_period=period)
    with pytest.raises(BadKeyFrame, match=f'expected 0 or more seconds, got {period}'):
        key_frame_from_goal(goal_from_key_frame(key_frame))


def test_an_update_comes_back_from_the_wire(update: StudentUpdate) -> None:
    msg = deserialize_message(serialize_message(update_to_msg(update)), StudentUpdateMsg)
    received = update_from_msg(msg)
    for field in fields(StudentUpdate):
        value = getattr(update, field.name)
        expected = pytest.approx(value) if isinstance(value, float) else value
        assert getattr(received, field.name) == expected, field.name


def test_unknown_metrics_stay_unknown(update: StudentUpdate) -> None:
    received = update_from_msg(update_to_msg(replace(update, metric=math.nan)))
    assert math.isnan(received.metric)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda m: setattr(m, 'metric', 1.5), 'metric: expected 0 to 1 or NaN, got 1.5'),
    (lambda m: setattr(m, 'metric', math.inf), 'got inf'),
    (lambda m: m.payload.extend(bytes(MAX_PAYLOAD)), f'at most {MAX_PAYLOAD} payload bytes'),
    (lambda m: setattr(m, 'tensors', [WeightTensor()] * (MAX_TENSORS + 1)),
     f'at most {MAX_TENSORS} tensors, got {MAX_TENSORS + 1}'),
    (lambda m: setattr(m.tensors[3], 'shape', array('I', [1] * 9)), 'at most 8 dimensions, got 9'),
])
def test_an_impossible_update_is_refused(  # type: ignore[no-untyped-def]
    update: StudentUpdate, change, message: str,
) -> None:
    msg = update_to_msg(update)
    change(msg)
    with pytest.raises(CorruptUpdate, match=message):
        update_from_msg(msg)


@pytest.mark.parametrize('change', [
    {}, {'task': 'depth', 'architecture': 'small', 'configuration': {'widths': [8, 16]}}], ids=str)
def test_a_first_student_carries_what_it_is(info: StudentInfo, change: dict[str, Any]) -> None:
    info = replace(info, **change)
    response = deserialize_message(
        serialize_message(fill_info(GetStudent.Response(), info)), GetStudent.Response)
    assert response.success
    assert info_from_response(response) == info


def test_classes_need_no_colours() -> None:
    info = StudentInfo(('square', 'background'))
    assert info_from_response(fill_info(GetStudent.Response(), info)) == info


@pytest.mark.parametrize(('change', 'message'), [
    (lambda r: r.class_names.pop(), '8 names and 27 bytes'),
    (lambda r: setattr(r, 'std', [1.0, 0.0, 1.0]), 'positive stds'),
    (lambda r: setattr(r, 'mean', [1.0, math.nan, 1.0]), 'finite means'),
    (lambda r: setattr(r, 'configuration', ''), 'configuration: expected a JSON object'),
    (lambda r: setattr(r, 'configuration', '[1]'), 'expected a JSON object, got list'),
    (lambda r: setattr(r, 'configuration', 2000 * '['), 'expected a JSON object'),
])
def test_impossible_classes_are_refused(  # type: ignore[no-untyped-def]
    info: StudentInfo, change, message: str,
) -> None:
    response = fill_info(GetStudent.Response(), info)
    change(response)
    with pytest.raises(CorruptUpdate, match=message):
        info_from_response(response)


def test_what_others_say_is_one_line_that_one_can_print() -> None:
    assert quoted('tutor: all is well') == 'tutor: all is well'
    assert quoted('\x1b[2J\n[ERROR] [1.0]:\u202e fake') == '\ufffd[2J [ERROR] [1.0]:\ufffd fake'
    assert quoted('a' * 100_000) == 'a' * 300 + '...'
    assert quoted('\n' * 100_000) == '...'
    assert clipped('zu groß\n', 7) == 'zu gro'
    assert clipped('\N{EURO SIGN}' * 400, 300) == '\N{EURO SIGN}' * 100
