# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from action_msgs.msg import GoalStatus
import numpy as np
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.task import Future
from scene import Scene
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.srv import GetStudent
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.model.first_student import first_student
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame
from shadowtutor_ros.wire.messages import goal_from_key_frame, info_from_response, update_from_msg
from shadowtutor_ros.wire.update import KeyFrame

pytestmark = pytest.mark.ros

TIMEOUT = 60.0


def untagged(goal: Distill.Goal) -> Distill.Goal:
    """Return a goal as one makes it by hand; its answer then is nobody's in particular."""
    goal.tag = 0
    return goal


class Robot:
    """Calls a tutor process by hand."""

    def __init__(self, domain_id: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node('robot', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.distill = ActionClient(self.node, Distill, '/tutor/distill')
        self.get_student = self.node.create_client(GetStudent, '/tutor/get_student')
        self.feedback: list[Any] = []

    def result_of(self, future: Future) -> Any:
        self.executor.spin_until_future_complete(future, TIMEOUT)
        assert future.done()
        return future.result()

    def teach(self, key_frame: KeyFrame, channel: str = '', transfer: int = 0) -> Any:
        goal = self.result_of(self.distill.send_goal_async(
            untagged(goal_from_key_frame(key_frame, channel, transfer)),
            lambda m: self.feedback.append(m.feedback)))
        return self.result_of(goal.get_result_async()) if goal.accepted else None

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def robot(domain_id: int, tmp_path: Path, scene: Scene) -> Iterator[Robot]:
    tutor = NodeProcess('tutor_node', {
        'teacher': 'labels', 'teacher_weights': str(scene.label_maps), 'threads': 1,
        'max_updates': 2, 'cold_start_updates': 2, 'cold_start_group': PARTIAL,
        'max_streams': 1, 'max_pixels': 20000}, tmp_path / 'tutor.log')
    robot = Robot(domain_id)
    with tutor:
        assert robot.distill.wait_for_server(TIMEOUT)
        assert robot.get_student.wait_for_service(TIMEOUT)
        yield robot
    robot.close()


def test_the_first_student_is_the_shipped_one(
    robot: Robot, info: StudentInfo, classes: ClassSet,
) -> None:
    response = robot.result_of(robot.get_student.call_async(
        GetStudent.Request(stream_id='robot')))
    given = student_from_update(update_from_msg(response.student), info).weights(FULL)
    shipped = first_student('default', classes).weights(FULL)
    assert all(torch.allclose(given[name], shipped[name], atol=1e-3) for name in shipped)


def test_a_robot_is_served_whatever_it_sends(
    robot: Robot, scene: Scene, info: StudentInfo,
) -> None:
    response = robot.result_of(robot.get_student.call_async(
        GetStudent.Request(stream_id='robot')))
    assert response.success
    assert info_from_response(response) == info
    first = update_from_msg(response.student)
    assert student_from_update(first, info).layout_hash == first.layout_hash

    jpeg = encode_frame(scene.frames[0], 'jpeg')
    good = KeyFrame('robot', 1, first.session_id, first.version, scene.stamp(0), 'camera', jpeg)
    bad = replace(good, encoded=EncodedFrame('jpeg', jpeg.data[:-500]))
    result = robot.teach(bad)
    assert result.status == GoalStatus.STATUS_ABORTED
    assert 'BadKeyFrame' in result.result.message
    assert 'truncated' in result.result.message

    large = encode_frame(np.zeros((200, 101, 3), np.uint8), 'jpeg')
    result = robot.teach(replace(good, encoded=large))
    assert result.status == GoalStatus.STATUS_ABORTED
    assert '200x101: expected 1 to 20000 pixels' in result.result.message

    result = robot.teach(replace(good, stamp=10**12))
    assert result.status == GoalStatus.STATUS_ABORTED
    assert 'none for the frame at 1000 s' in result.result.message

    assert robot.teach(replace(good, stream_id='')) is None
    assert robot.teach(replace(good, stream_id='another')) is None  # there is one place
    response = robot.result_of(robot.get_student.call_async(
        GetStudent.Request(stream_id='another')))
    assert response.message.startswith('TooManyStreams: all 1 streams were active')
    assert robot.teach(replace(good, robot=7)) is None  # another's
    response = robot.result_of(robot.get_student.call_async(
        GetStudent.Request(stream_id='robot', robot=7)))
    assert response.message.startswith("StreamTaken: stream id 'robot' belongs to another robot")

    result = robot.teach(good)
    assert result.status == GoalStatus.STATUS_SUCCEEDED
    update = update_from_msg(result.result.update)
    assert (update.group, update.sequence, update.frame_id) == (PARTIAL, 1, 'camera')
    assert update.session_id == first.session_id
    assert update.teacher_time > 0
    assert {f.phase for f in robot.feedback} <= {
        Distill.Feedback.QUEUED, Distill.Feedback.LABELLING, Distill.Feedback.TRAINING}
    assert robot.feedback

    result = robot.teach(good, 'no topic!', 1)
    assert result.status == GoalStatus.STATUS_ABORTED
    assert "BadChannel: channel 'no topic!'" in result.result.message
    response = robot.result_of(robot.get_student.call_async(
        GetStudent.Request(stream_id='robot', channel='no topic!')))
    assert not response.success
    assert 'BadChannel' in response.message

    lost = update_from_msg(robot.teach(replace(good, session_id=12345)).result.update)
    assert (lost.group, lost.base_version) == (FULL, 0)
