# SPDX-License-Identifier: Apache-2.0
"""The action's server with a real tutor behind it, whose teacher works as long as a test wants."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
import queue
import threading
import time
from typing import Any

from action_msgs.msg import GoalStatus
import numpy as np
import pytest
import rclpy
from rclpy.action import ActionClient
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from robots import wait_until
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.action import Distill

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.nodes import distill_server
from shadowtutor_ros.nodes.distill_server import DistillServer, NotActive
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import (
    channel_name,
    DOWN,
    new_transfer,
    PieceChannel,
    UP,
)
from shadowtutor_ros.nodes.link.stream_channels import StreamChannels
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode, RCLError
from shadowtutor_ros.runtime.job import OnLesson
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.piece_messages import MAX_UPDATE, update_from_bytes
from shadowtutor_ros.wire.seal import Moments, Seal, UNKEYED
from shadowtutor_ros.wire.update import StudentUpdate

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
STREAMS = 3
THREADS = 4
IMAGE = encode_frame(np.zeros((8, 8, 3), np.uint8), 'png').data
QUEUED, LABELLING = Distill.Feedback.QUEUED, Distill.Feedback.LABELLING


class Teacher:
    """Labels when it may ``go``."""

    name, version = 'teacher', '1'

    def __init__(self) -> None:
        self.busy, self.go = threading.Event(), threading.Event()

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        self.busy.set()
        assert self.go.wait(TIMEOUT)
        return Labelling(np.zeros(frame.shape[:2], np.uint8), np.zeros((0, 4), np.float32),
                         np.zeros(0, np.float32))


@dataclass
class TutorDesk:
    tutor: Tutor
    channels: StreamChannels
    seal: Seal = UNKEYED
    moments: Moments = field(default_factory=Moments)
    active: bool = True
    taught: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def served(self) -> tuple[Tutor, StreamChannels]:
        if not self.active:
            raise NotActive('the tutor is resting')
        return self.tutor, self.channels

    def on_lesson(self) -> OnLesson | None:
        return None

    def on_taught(self, name: str, update: StudentUpdate) -> None:
        self.taught.append(name)

    def on_failure(self, name: str, error: BaseException) -> None:
        self.failed.append(f'{name}: {type(error).__name__}')


class Goal:
    """A goal of a robot and what it hears of it."""

    def __init__(self, client: ActionClient, stream_id: str, **fields: Any) -> None:
        self.feedback: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        image = fields.pop('image', IMAGE)
        self._answer = client.send_goal_async(
            Distill.Goal(stream_id=stream_id, key_frame=CompressedImage(
                format='png', data=array('B', image)), **fields),
            lambda msg: self.feedback.put(msg.feedback.phase))
        accepted: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answer.add_done_callback(lambda future: accepted.put(future.result()))
        self.handle = accepted.get(timeout=TIMEOUT)
        if self.handle.accepted:
            self.handle.get_result_async().add_done_callback(
                lambda future: self._done.put(future.result()))

    def result(self) -> tuple[int, Distill.Result]:
        response = self._done.get(timeout=TIMEOUT)
        return response.status, response.result

    def hear(self, phase: int, times: int = 1) -> None:
        """Wait until ``phase`` was heard so often."""
        while times:
            times -= self.feedback.get(timeout=TIMEOUT) == phase


@dataclass
class Ends:
    teacher: Teacher
    desk: TutorDesk
    server: DistillServer
    robot: Node
    client: ActionClient
    executor: MultiThreadedExecutor

    def goal(self, stream_id: str = 'a', **fields: Any) -> Goal:
        return Goal(self.client, stream_id, **fields)

    def busy(self) -> Goal:
        """Return a goal of the stream 'a' that is being labelled."""
        goal = self.goal()
        assert goal.handle.accepted
        assert self.teacher.busy.wait(TIMEOUT)
        return goal


@pytest.fixture
def ends(domain_id: int, info: StudentInfo) -> Iterator[Ends]:
    rclpy.init(domain_id=domain_id)
    node, robot = ManagedNode('tutor'), rclpy.create_node('robot')
    teacher = Teacher()
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(
        DistillSettings.plain(max_updates=0, cold_start_updates=0), max_streams=STREAMS))
    desk = TutorDesk(tutor, StreamChannels(node, tutor))
    server = DistillServer(node, desk, ReentrantCallbackGroup())
    client = ActionClient(robot, Distill, '/tutor/distill')
    executor = MultiThreadedExecutor(THREADS)
    for each in (node, robot):
        executor.add_node(each)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    assert client.wait_for_server(TIMEOUT)
    yield Ends(teacher, desk, server, robot, client, executor)
    teacher.go.set()
    server.end_all(NotActive('the test is over'))
    executor.shutdown()
    thread.join(TIMEOUT)
    desk.channels.close()
    server.destroy()
    client.destroy()
    for each in (node, robot):
        each.destroy_node()
    rclpy.shutdown()


def test_a_goal_is_taught_and_forgotten(ends: Ends) -> None:
    ends.teacher.go.set()
    status, result = ends.goal(sequence=7).result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.update.sequence, result.update.version) == (7, 1)
    assert ends.desk.taught == ['a key frame 7']
    assert not ends.server._goals


def test_all_that_the_tutor_takes_is_in_its_answer(
    ends: Ends, monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Else the robot would blame the link for it.
    monkeypatch.setattr(Tutor, '_keep', lambda self, stream: time.sleep(0.5))
    ends.teacher.go.set()
    update = ends.goal().result()[1].update
    assert update.queue_time.sec + update.queue_time.nanosec * 1e-9 >= 0.5


def test_what_has_no_place_is_refused_at_once_while_others_are_taught(ends: Ends) -> None:
    """A flood of goals with large images takes neither threads nor memory."""
    ends.busy()
    threads = threading.active_count()
    goals = [ends.goal(f'x{k}', image=bytes(1 << 20)) for k in range(20)]
    assert [goal.handle.accepted for goal in goals] == [True] * (STREAMS - 1) + [False] * (
        21 - STREAMS)
    assert threading.active_count() < threads + THREADS  # the executor makes its own late
    assert len(ends.server._goals) == STREAMS
    kept = [handle.request for handle in ends.server._server._goal_handles.values()]
    assert sum(len(request.key_frame.data) for request in kept) == 0


def test_another_robots_stream_and_a_bad_name_are_refused(ends: Ends) -> None:
    ends.busy()
    assert not ends.goal('a', robot=5).handle.accepted
    assert not ends.goal('').handle.accepted
    assert ends.desk.tutor.streams == ('a',)


def test_the_newest_goal_of_a_stream_ends_the_one_that_waits(ends: Ends) -> None:
    first = ends.busy()
    second, third = ends.goal(sequence=2), ends.goal(sequence=3)
    status, result = second.result()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message.startswith("Superseded: key frame 2 of 'a'")
    ends.teacher.go.set()
    assert [goal.result()[0] for goal in (first, third)] == 2 * [GoalStatus.STATUS_SUCCEEDED]


def test_signs_of_life_go_on_while_a_goal_waits_and_is_labelled(ends: Ends) -> None:
    first = ends.busy()
    second = ends.goal('b')
    first.hear(LABELLING, 3)
    second.hear(QUEUED, 3)


def test_a_goal_that_waits_is_cancelled_at_once(ends: Ends) -> None:
    ends.busy()
    goal = ends.goal('b')
    goal.handle.cancel_goal_async()
    status, result = goal.result()
    assert result.message == 'cancelled'
    assert status in (GoalStatus.STATUS_CANCELED, GoalStatus.STATUS_ABORTED)
    assert len(ends.server._goals) == 1


def test_a_goal_that_is_taught_is_cancelled_at_its_next_step(ends: Ends) -> None:
    goal = ends.busy()
    cancelled = threading.Event()
    goal.handle.cancel_goal_async().add_done_callback(lambda future: cancelled.set())
    assert cancelled.wait(TIMEOUT)
    ends.teacher.go.set()
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED


def test_a_goal_that_was_cancelled_before_it_began_is_not_taught(
    ends: Ends, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """rclpy accepts first and hands the goal over then: the robot may be faster."""
    begin, accepted = DistillServer._begin, threading.Event()

    def begin_late(self: DistillServer, handle: Any) -> None:
        accepted.set()
        wait_until(lambda: bool(handle.is_cancel_requested))
        begin(self, handle)

    ends.server._server.register_handle_accepted_callback(partial(begin_late, ends.server))
    goal = ends.goal()
    assert accepted.wait(TIMEOUT)
    goal.handle.cancel_goal_async()
    assert goal.result()[0] == GoalStatus.STATUS_CANCELED
    assert not ends.teacher.busy.is_set()


def test_an_answer_that_cannot_be_written_is_a_failure(
    ends: Ends, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_message(update: StudentUpdate, *seal: object) -> Any:
        raise ValueError('too long')

    monkeypatch.setattr(distill_server, 'update_to_msg', no_message)
    ends.teacher.go.set()
    status, result = ends.goal().result()
    assert (status, result.message) == (GoalStatus.STATUS_ABORTED, 'ValueError: too long')
    assert ends.desk.failed == ['a key frame 0: ValueError']


def test_a_cancel_between_rclpys_look_and_its_change_of_state_loses_no_answer(
    ends: Ends, monkeypatch: pytest.MonkeyPatch,
) -> None:
    execute, calls = ServerGoalHandle.execute, []

    def too_late_once(self: ServerGoalHandle, callback: Any) -> None:
        calls.append(callback)
        if len(calls) == 1:
            raise RCLError('goal_handle attempted invalid transition')
        execute(self, callback)

    monkeypatch.setattr(ServerGoalHandle, 'execute', too_late_once)
    ends.teacher.go.set()
    assert ends.goal().result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_who_is_served_hears_why_when_the_tutor_rests(ends: Ends) -> None:
    taught, waiting = ends.busy(), ends.goal('b')
    ends.desk.active = False
    ending = threading.Thread(target=ends.server.end_all, args=(NotActive('good night'),))
    ending.start()
    assert waiting.result()[1].message == 'good night'
    ends.teacher.go.set()
    assert taught.result()[1].message == 'good night'
    ending.join(TIMEOUT)
    assert not ending.is_alive()
    status, result = ends.goal().result()
    assert (status, result.message) == (GoalStatus.STATUS_ABORTED, 'the tutor is resting')
    assert not ends.desk.failed


def test_the_end_does_not_wait_for_an_executor_that_has_ended(
    ends: Ends, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distill_server, '_LAST_WORDS', 0.1)
    ends.busy()
    ends.executor.shutdown()
    ends.teacher.go.set()
    ending = threading.Thread(target=ends.server.end_all, args=(NotActive('the end'),))
    ending.start()
    ending.join(TIMEOUT)
    assert not ending.is_alive()


@pytest.fixture
def channel(ends: Ends) -> Iterator[PieceChannel]:
    """A robot's end of its channel, joined with the tutor's as soon as a goal names it."""
    channels = ChannelNode(ends.robot)
    channel = PieceChannel(channels, channel_name('/robot', 'a'), UP, DOWN, MAX_UPDATE)
    yield channel
    channel.close()
    channels.close()


def test_a_key_frame_comes_and_its_update_goes_in_pieces(
    ends: Ends, channel: PieceChannel,
) -> None:
    ends.teacher.go.set()
    transfer = new_transfer()
    goal = ends.goal(image=b'', channel=channel.name, transfer=transfer)
    channel.send(IMAGE, transfer=transfer)
    status, result = goal.result()
    assert status == GoalStatus.STATUS_SUCCEEDED
    assert result.transfer == transfer
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    channel.expect(transfer, arrived.put)
    assert update_from_bytes(arrived.get(timeout=TIMEOUT)).version == 1


def test_of_two_goals_whose_pieces_have_not_come_the_newer_stays(
    ends: Ends, channel: PieceChannel, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distill_server, '_PIECES_TIMEOUT', TIMEOUT)
    ends.teacher.go.set()
    older = ends.goal(image=b'', channel=channel.name, transfer=new_transfer())
    transfer = new_transfer()
    newer = ends.goal(image=b'', channel=channel.name, transfer=transfer)
    assert older.result()[1].message.startswith('Superseded: a newer key frame came')
    channel.send(IMAGE, transfer=transfer)
    assert newer.result()[0] == GoalStatus.STATUS_SUCCEEDED


def test_a_key_frame_whose_pieces_stop_is_lost(
    ends: Ends, channel: PieceChannel, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distill_server, '_PIECES_TIMEOUT', 0.5)
    goal = ends.goal(image=b'', channel=channel.name, transfer=new_transfer())
    status, result = goal.result()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message == 'LostKeyFrame: no piece of the key frame for 0.5 s'
    wait_until(lambda: not ends.server._goals)
    assert ends.desk.failed == ['a key frame 0: LostKeyFrame']


def test_an_image_that_cannot_be_read_is_named(ends: Ends) -> None:
    ends.teacher.go.set()
    status, result = ends.goal(image=b'no picture').result()
    assert status == GoalStatus.STATUS_ABORTED
    assert result.message.startswith('BadKeyFrame: ')


def test_a_stream_id_makes_no_lines_in_the_log(ends: Ends) -> None:
    ends.goal('\x1b[2J\n[INFO]: all is well', image=b'no picture').result()
    assert ends.desk.failed == ['\ufffd[2J [INFO]: all is well key frame 0: BadKeyFrame']


def test_a_robot_that_names_ever_new_channels_or_none_leaves_no_topics(ends: Ends) -> None:
    for index in range(100):
        goal = ends.goal(image=b'', channel=channel_name(f'/robot{index}', 'a'), transfer=5)
        assert goal.handle.accepted
    for name in '/cmd_vel', channel_name('/robot', 'b'), channel_name('/a b', 'a'), channel_name(
            '/' + 'a' * 230, 'a'), channel_name('relative', 'a'):
        _, result = ends.goal(image=b'', channel=name, transfer=5).result()
        assert result.message.startswith('BadChannel: '), name
    wait_until(lambda: len([name for name, _ in ends.robot.get_topic_names_and_types()
                          if '/channel/' in name]) <= 4)
