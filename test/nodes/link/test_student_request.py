# SPDX-License-Identifier: Apache-2.0
"""How a robot asks for its student, against a tutor that answers as each test wants."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
import itertools
import queue
import threading

import pytest
import rclpy
from rclpy.action import ActionServer
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from robots import wait_until
from scene import Scene
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import Piece
from shadowtutor_msgs.srv import GetStudent

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import DOWN, PieceChannel, UP
from shadowtutor_ros.nodes.link.rivals import count_tutors, rivalry
from shadowtutor_ros.nodes.link.student_request import StudentRequest
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.transfer.pieces import PIECE_BYTES, piece_count
from shadowtutor_ros.wire.errors import StaleUpdate
from shadowtutor_ros.wire.messages import fill_info, update_to_msg
from shadowtutor_ros.wire.piece_messages import message_to_bytes, update_to_bytes
from shadowtutor_ros.wire.seal import answer_to, Seal, UNKEYED
from shadowtutor_ros.wire.update import StudentUpdate

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
ROBOT = 2**64 - 5


@dataclass
class Robot:
    """A node that asks, what it knows, is given and told, and the tutor's ``answer``."""

    node: ManagedNode
    channel: PieceChannel
    answer: Callable[[GetStudent.Request, GetStudent.Response], object]
    requests: list[GetStudent.Request] = field(default_factory=list)
    students: queue.Queue[StudentUpdate] = field(default_factory=queue.Queue)
    refusals: queue.Queue[str] = field(default_factory=queue.Queue)
    asked: int = 0  # requests when the last answer was refused
    take: Callable[[], object] = lambda: None
    name: str = '/tutor'
    gone: bool = False
    looks: int = 0  # whether it is
    processes: int = 1
    ended: int = 0

    def ask(self, patience: float, seal: Seal = UNKEYED) -> StudentRequest:
        return StudentRequest(self.node, self, 'camera', ROBOT, patience, self.on_student,
                              self.on_refused, seal)

    def is_gone(self) -> bool:
        self.looks += 1
        return self.gone

    def lost(self) -> int:
        return self.ended

    def on_student(self, update: StudentUpdate, info: StudentInfo) -> None:
        self.take()
        self.students.put(update)

    def on_refused(self, reason: str) -> None:
        self.asked = len(self.requests)
        self.refusals.put(reason)

    def on_request(
        self, request: GetStudent.Request, response: GetStudent.Response,
    ) -> GetStudent.Response:
        self.requests.append(request)
        self.answer(request, response)
        return response


@pytest.fixture
def update(info: StudentInfo, classes: ClassSet, scene: Scene) -> StudentUpdate:
    tutor = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps),
                  Student.random(info, 0), TutorSettings())
    return tutor.first_student('camera')


@pytest.fixture
def server(domain_id: int) -> Iterator[Node]:
    rclpy.init(domain_id=domain_id)
    yield rclpy.create_node('server')
    rclpy.shutdown()


@pytest.fixture
def robot(server: Node, info: StudentInfo) -> Iterator[Robot]:
    def with_pieces(request: GetStudent.Request, response: GetStudent.Response) -> None:
        response.success, response.transfer = True, request.transfer

    node = ManagedNode('robot')
    channel_node = ChannelNode(node)
    channel = PieceChannel(channel_node, '/channel', UP, DOWN, 64 << 20)
    robot = Robot(node, channel, with_pieces)
    server.create_service(GetStudent, '/tutor/get_student', robot.on_request)
    executor = MultiThreadedExecutor(2)
    for each in node, server:
        executor.add_node(each)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield robot
    executor.shutdown()
    thread.join()
    channel.close()
    channel_node.close()
    node.destroy_node()
    server.destroy_node()


@pytest.fixture
def tutor(robot: Robot) -> Iterator[PieceChannel]:
    """The tutor's end of the channel."""
    channel_node = ChannelNode(robot.node)
    channel = PieceChannel(channel_node, '/channel', DOWN, UP, 1000)
    yield channel
    channel.close()
    channel_node.close()


def whole(
    request: GetStudent.Request, update: StudentUpdate, info: StudentInfo, seal: Seal = UNKEYED,
) -> bytes:
    """Return the answer to a request as pieces carry it."""
    question = answer_to(request)
    response = fill_info(GetStudent.Response(
        student=update_to_msg(update, seal, question)), info)
    return message_to_bytes(seal.sign(response, question))


def test_while_pieces_come_the_tutor_is_not_asked_again(
    robot: Robot, server: Node, update: StudentUpdate,
) -> None:
    """They take more than twice the patience."""
    data = update_to_bytes(update)[:30 * PIECE_BYTES]  # no student: refused once it is here
    pieces = server.create_publisher(Piece, '/channel/down', qos.PIECES)
    indices = itertools.cycle(range(piece_count(len(data))))  # some may be lost

    def send_next() -> None:
        if robot.requests and pieces.get_subscription_count():
            index = next(indices)
            part = data[index * PIECE_BYTES:(index + 1) * PIECE_BYTES]
            pieces.publish(UNKEYED.sign(Piece(
                transfer=robot.requests[0].transfer, size=len(data), length=PIECE_BYTES,
                index=index, order=index + 1, data=array('B', part)), b'/channel/down'))

    server.create_timer(0.15, send_next)
    first = robot.ask(patience=2.0)
    assert robot.refusals.get(timeout=TIMEOUT)
    assert robot.asked == 1
    request = robot.requests[0]
    assert (request.stream_id, request.robot, request.channel) == ('camera', ROBOT, '/channel')
    first.close()


def test_a_tutor_whose_lease_is_late_may_still_answer(
    robot: Robot, tutor: PieceChannel, update: StudentUpdate, info: StudentInfo,
) -> None:
    """As behind the student itself, on a slow link."""
    request = robot.ask(patience=TIMEOUT)
    wait_until(lambda: bool(robot.requests), TIMEOUT)
    robot.gone = True
    looks = robot.looks
    wait_until(lambda: robot.looks > looks + 2, TIMEOUT)
    assert len(robot.requests) == 1
    tutor.send(whole(robot.requests[0], update, info), transfer=robot.requests[0].transfer)
    assert robot.students.get(timeout=TIMEOUT).version == update.version
    request.close()


def test_a_new_process_is_asked_for_what_the_old_one_was(robot: Robot) -> None:
    request = robot.ask(patience=TIMEOUT)
    wait_until(lambda: len(robot.requests) == 1, TIMEOUT)
    robot.processes = 2
    wait_until(lambda: len(robot.requests) == 2, TIMEOUT)
    request.close()


def test_a_request_of_which_nothing_comes_is_lost(robot: Robot) -> None:
    first = robot.ask(patience=0.7)
    wait_until(lambda: len(robot.requests) == 2, TIMEOUT)  # no piece ever comes
    assert robot.refusals.empty()
    first.close()


def test_who_is_refused_says_why_and_asks_again(
    robot: Robot, tutor: PieceChannel, update: StudentUpdate, info: StudentInfo,
) -> None:
    accept = robot.answer

    def refuse(request: GetStudent.Request, response: GetStudent.Response) -> None:
        response.message = 'StreamTaken: it belongs to another robot'
        robot.answer = accept

    robot.answer = refuse
    first = robot.ask(TIMEOUT)
    assert robot.refusals.get(timeout=TIMEOUT) == 'StreamTaken: it belongs to another robot'
    wait_until(lambda: len(robot.requests) == 2, TIMEOUT)
    request = robot.requests[1]
    tutor.send(whole(request, update, info), transfer=request.transfer)
    assert robot.students.get(timeout=TIMEOUT).weights == update.weights
    first.close()


@pytest.mark.parametrize('error', [StaleUpdate('old'), RuntimeError('CUDA error')], ids=repr)
def test_a_bad_answer_is_refused_and_an_error_of_ones_own_is_not_the_tutors(
    robot: Robot, tutor: PieceChannel, update: StudentUpdate, info: StudentInfo,
    error: Exception,
) -> None:
    failed = threading.Event()
    robot.node.on_failed = failed.set

    def take() -> None:
        raise error

    robot.take = take
    robot.node.trigger_configure()
    first = robot.ask(TIMEOUT)
    wait_until(lambda: bool(robot.requests), TIMEOUT)
    request = robot.requests[0]
    tutor.send(whole(request, update, info), transfer=request.transfer)
    if isinstance(error, StaleUpdate):
        assert robot.refusals.get(timeout=TIMEOUT) == 'old'
        assert not failed.is_set()
    else:
        assert failed.wait(TIMEOUT)
        assert robot.refusals.empty()
    first.close()


def test_with_a_key_a_strangers_answer_is_none(
    robot: Robot, tutor: PieceChannel, update: StudentUpdate, info: StudentInfo,
) -> None:
    """It is said, the tutor's own is waited for, and the tutor is asked again soon."""
    key, evil = Seal(b'key'), replace(update, session_id=666)

    def forge(request: GetStudent.Request, response: GetStudent.Response) -> None:
        question = answer_to(request)
        response.student = update_to_msg(evil, UNKEYED, question)
        UNKEYED.sign(fill_info(response, info), question)

    robot.answer = forge
    first = robot.ask(TIMEOUT, key)
    assert robot.refusals.get(timeout=TIMEOUT).startswith('somebody answered: GetStudent_Resp')
    wait_until(lambda: len(robot.requests) > 1, TIMEOUT / 2)
    request = robot.requests[-1]
    tutor.send(whole(request, update, info, key), transfer=request.transfer)
    assert robot.students.get(timeout=TIMEOUT).session_id == update.session_id
    first.close()


def test_without_a_key_no_student_is_taken_while_there_are_two_tutors(
    robot: Robot, tutor: PieceChannel, server: Node, update: StudentUpdate, info: StudentInfo,
) -> None:
    both = [ActionServer(server, Distill, '/tutor/distill', lambda handle: Distill.Result())
            for _ in range(2)]
    first = robot.ask(TIMEOUT)
    wait_until(lambda: bool(robot.requests), TIMEOUT)
    wait_until(lambda: count_tutors(robot.node, '/tutor/distill') == 2, TIMEOUT)
    request = robot.requests[0]
    tutor.send(whole(request, update, info), transfer=request.transfer)
    assert robot.refusals.get(timeout=TIMEOUT) == rivalry('/tutor/distill')
    both.pop().destroy()
    wait_until(lambda: count_tutors(robot.node, '/tutor/distill') == 1, TIMEOUT)
    wait_until(lambda: len(robot.requests) > 1, TIMEOUT)
    request = robot.requests[-1]
    tutor.send(whole(request, update, info), transfer=request.transfer)
    assert robot.students.get(timeout=TIMEOUT).weights == update.weights
    first.close()
    both.pop().destroy()


def test_a_killed_tutor_that_is_still_listed_delays_no_student(
    robot: Robot, tutor: PieceChannel, server: Node, update: StudentUpdate, info: StudentInfo,
) -> None:
    both = [ActionServer(server, Distill, '/tutor/distill', lambda handle: Distill.Result())
            for _ in range(2)]
    robot.ended = 1
    first = robot.ask(TIMEOUT)
    wait_until(lambda: bool(robot.requests), TIMEOUT)
    wait_until(lambda: count_tutors(robot.node, '/tutor/distill') == 2, TIMEOUT)
    request = robot.requests[0]
    tutor.send(whole(request, update, info), transfer=request.transfer)
    assert robot.students.get(timeout=TIMEOUT).weights == update.weights
    assert robot.refusals.empty()
    first.close()
    for each in both:
        each.destroy()
