# SPDX-License-Identifier: Apache-2.0
"""A robot and its helpers over DDS, both ends in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
import threading
import time

from nodes.sharing import SESSION, SharingRobot, TIMEOUT
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from robots import wait_until
from scene import Scene
from shadowtutor_msgs.msg import HelperStatus
import torch

from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link import helpers as helpers_module
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.helpers import helper_channel, Helpers, MOST_HELPERS
from shadowtutor_ros.nodes.link.helping import Helping
from shadowtutor_ros.nodes.link.payload_stream import PayloadStream
from shadowtutor_ros.nodes.link.piece_channel import DOWN, UP
from shadowtutor_ros.runtime.frame_packing import FramePacking
from shadowtutor_ros.runtime.helper import Helper
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.jobs import encode_need
from shadowtutor_ros.wire.key_frame import decode_frame, encode_frame
from shadowtutor_ros.wire.piece_messages import update_from_bytes
from shadowtutor_ros.wire.seal import Seal, UNKEYED
from shadowtutor_ros.wire.update import StudentUpdate

pytestmark = pytest.mark.ros

ROBOT = 17


class Lab:
    """A robot, and helpers that come and go, each as if it were a process of its own."""

    def __init__(self, domain_id: int, robot: SharingRobot, stack: ExitStack) -> None:
        self._domain_id = domain_id
        self.robot = robot
        self.stack = stack

    def share(
        self, number: int = ROBOT, format: str = 'png', seal: Seal = UNKEYED,
    ) -> Helpers:
        node = self.node('student')
        channel = ChannelNode(node)
        helpers = Helpers(node, channel, number, self.robot,
                          lambda: FramePacking(format, 80), seal)
        for close in (channel.close, helpers.close):
            self.stack.callback(close)
        return helpers

    def helper(
        self, name: str = 'helper', seal: Seal = UNKEYED,
        handle: Callable[[Helper], None] = lambda helper: None,
    ) -> Helping:
        node = self.node(name)
        channel = ChannelNode(node)
        helper = Helper(torch.device('cpu'), update_from_bytes)
        handle(helper)
        helping = Helping(node, channel, '/student', helper, seal)
        thread = threading.Thread(target=helping.work)
        thread.start()
        for close in (channel.close, thread.join, helping.close):
            self.stack.callback(close)
        return helping

    def node(self, name: str) -> Node:
        """Return a node in a context of its own: liveliness is a matter of participants."""
        context = Context()
        rclpy.init(context=context, domain_id=self._domain_id)
        self.stack.callback(rclpy.shutdown, context=context)
        node = rclpy.create_node(name, context=context)
        self.stack.callback(node.destroy_node)
        return node

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: self.robot.devices.keys() == set(names), TIMEOUT)


@pytest.fixture
def lab(domain_id: int, info: StudentInfo) -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(domain_id, SharingRobot(info), stack)


def test_helpers_join_whoever_is_first_and_their_masks_are_the_robots(
    lab: Lab, scene: Scene,
) -> None:
    early = lab.helper('early')
    lab.share()
    late = lab.helper('late')
    lab.wait_for('/early', '/late')
    for frame in scene.frames[:6]:
        for name in lab.robot.devices:
            assert np.array_equal(lab.robot.mask(name, frame), lab.robot.student.segment(frame))
        lab.robot.learn()
    assert lab.robot.version == 7
    assert early.joined
    assert late.joined
    assert not lab.robot.leaves


def test_jobs_of_one_device_are_done_in_order_between_updates(lab: Lab, scene: Scene) -> None:
    lab.share()
    lab.helper()
    lab.wait_for('/helper')
    expected = {}
    for frame in scene.frames[:12]:
        number = lab.robot.deal('/helper', frame)
        expected[number] = lab.robot.student.segment(frame)
        if number % 3 == 0:
            lab.robot.learn()
    for number, mask in expected.items():
        done = lab.robot.answer(number)
        assert done.mask is not None, done.error
        assert np.array_equal(done.mask, mask)
    assert list(lab.robot.done) == sorted(lab.robot.done)


def test_features_are_a_job_too(lab: Lab, scene: Scene) -> None:
    lab.robot.student.precision = torch.bfloat16
    lab.share()
    lab.helper()
    lab.wait_for('/helper')
    done = lab.robot.answer(lab.robot.deal('/helper', scene.frames[0], features=True))
    assert done.mask is not None, done.error
    assert np.array_equal(done.mask, lab.robot.student.segment(scene.frames[0]))


@pytest.mark.parametrize('format', ['auto', 'jpeg', 'webp', 'raw'])
def test_frames_travel_in_every_format(lab: Lab, scene: Scene, format: str) -> None:
    lab.share(format=format)
    lab.helper()
    lab.wait_for('/helper')
    for frame in scene.frames[:3]:
        mask = lab.robot.mask('/helper', frame)
        seen = [decode_frame(encode_frame(frame, name, 80))
                for name in (('jpeg', 'raw') if format == 'auto' else (format,))]
        assert any(np.array_equal(mask, lab.robot.student.segment(each)) for each in seen)


def test_a_frame_that_cannot_be_done_is_answered_and_the_next_one_is_done(
    lab: Lab, scene: Scene,
) -> None:
    lab.share(format='webp')
    lab.helper()
    lab.wait_for('/helper')
    wide = lab.robot.answer(lab.robot.deal('/helper', np.zeros((1, 20_000, 3), np.uint8)))
    assert wide.mask is None
    assert 'webp cannot hold' in wide.error
    lab.robot.version += 1
    other = lab.robot.answer(lab.robot.deal('/helper', scene.frames[0]))
    assert 'expected a frame for version 1' in other.error
    lab.robot.version -= 1
    lab.robot.mask('/helper', scene.frames[0])
    assert lab.robot.joins == ['/helper']


def test_a_helper_that_goes_is_gone_within_a_second(lab: Lab) -> None:
    lab.share()
    helping = lab.helper()
    lab.wait_for('/helper')
    helping.close()
    left = time.monotonic()
    lab.wait_for()
    assert time.monotonic() - left < 1.5


def test_a_helper_that_loses_its_weights_joins_anew(lab: Lab, scene: Scene) -> None:
    helpers = lab.share()
    lab.helper()
    lab.wait_for('/helper')
    lab.robot.mask('/helper', scene.frames[0])
    lab.robot.version += 1  # so that the next update does not fit
    update = StudentUpdate(
        'robot', 1, 0, '', 1, PARTIAL, SESSION, 2, 3, next(iter(WEIGHT_ENCODINGS['fp16'].encode(
            lab.robot.student.weights(PARTIAL), {}, {}, 1.0))))
    lab.robot.devices['/helper'].learn(update)
    wait_until(lambda: lab.robot.joins == ['/helper'] * 2, TIMEOUT)
    assert np.array_equal(lab.robot.mask('/helper', scene.frames[0]),
                          lab.robot.student.segment(scene.frames[0]))
    assert helpers.standings()['/helper'].device is lab.robot.devices['/helper']


@pytest.mark.parametrize('answer', [encode_need('lost them'), b'\x09 is no answer'])
def test_who_answers_that_it_has_no_weights_or_nonsense_is_let_go(
    lab: Lab, answer: bytes,
) -> None:
    lab.share()
    node = lab.node('other')
    channel = ChannelNode(node)
    lab.stack.callback(channel.close)
    stream = PayloadStream(
        channel, helper_channel('/student', ROBOT, 5), DOWN, UP, 1 << 24,
        lambda stream, payload: stream.send(answer), lambda: None, UNKEYED)
    lab.stack.callback(stream.close)
    statuses = node.create_publisher(HelperStatus, '/student/helpers', qos.HELPERS)

    def left() -> bool:
        statuses.publish(UNKEYED.sign(HelperStatus(
            name='/other', process=1, robot=ROBOT, channel=5, moment=time.monotonic_ns()),
            b'/student/helpers'))
        return lab.robot.leaves == ['/other']

    wait_until(left, TIMEOUT)
    assert not lab.robot.devices
    left()
    assert lab.robot.joins == ['/other']  # that channel is used up


def test_a_student_is_taught_as_it_is_at_that_moment(lab: Lab, scene: Scene) -> None:
    lab.share()
    lab.helper()
    lab.wait_for('/helper')
    noise = np.random.default_rng(3).integers(0, 256, (1200, 1600, 3), np.uint8)
    lab.robot.deal('/helper', noise)  # which is packed first, and takes a while
    robot = lab.robot.student
    lab.robot.devices['/helper'].learn(RunningStudent(robot, SESSION, 1))
    expected = robot.segment(scene.frames[0])
    robot.load({name: tensor + 0.05 for name, tensor in robot.weights(PARTIAL).items()})
    assert np.array_equal(lab.robot.mask('/helper', scene.frames[0]), expected)
    assert not np.array_equal(robot.segment(scene.frames[0]), expected)


def test_who_cannot_compute_as_the_robot_does_says_so_and_stays_away(lab: Lab) -> None:
    lab.robot.student.precision = torch.float16
    helpers = lab.share()
    lab.helper()
    wait_until(lambda: bool(lab.robot.leaves), TIMEOUT)

    def said() -> str:
        standing = helpers.standings().get('/helper')
        return standing.status.detail if standing is not None and not standing.device else ''

    wait_until(lambda: 'fp16 needs a GPU' in said(), TIMEOUT)
    assert lab.robot.joins == ['/helper']


def test_a_robot_that_begins_again_finds_its_helpers(lab: Lab, scene: Scene) -> None:
    first = lab.share()
    lab.helper()
    lab.wait_for('/helper')
    first.close()
    lab.wait_for()
    lab.share(ROBOT + 1)
    lab.wait_for('/helper')
    lab.robot.mask('/helper', scene.frames[0])


def test_nobody_joins_without_the_key(lab: Lab, tmp_path: Path) -> None:
    key = tmp_path / 'key'
    key.write_bytes(b'0123456789abcdef')
    seal = Seal.of_file(key)
    lab.share(seal=seal)
    stranger = lab.helper('stranger')
    wait_until(lambda: 'link_key_file' in stranger.problem, TIMEOUT)
    lab.helper('friend', seal)
    lab.wait_for('/friend')


def test_two_of_one_name_do_not_take_turns(lab: Lab, scene: Scene) -> None:
    lab.share()
    lab.helper()
    lab.wait_for('/helper')
    second = lab.helper()
    wait_until(lambda: second._channel != 0, TIMEOUT)
    for _ in range(3):
        lab.robot.mask('/helper', scene.frames[0])
    assert lab.robot.joins == ['/helper']
    assert not second.joined


def test_there_are_places_for_so_many(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers_module, '_SILENCE', TIMEOUT)
    lab.share()
    statuses = lab.node('crowd').create_publisher(HelperStatus, '/student/helpers', qos.HELPERS)
    context = b'/student/helpers'

    def more() -> bool:
        for number in range(1, MOST_HELPERS + 3):
            statuses.publish(UNKEYED.sign(HelperStatus(
                name=f'/h{number}', process=number, robot=ROBOT, channel=number,
                moment=time.monotonic_ns()), context))
        return len(lab.robot.devices) == MOST_HELPERS

    wait_until(more, TIMEOUT)
    more()
    assert len(lab.robot.devices) == MOST_HELPERS


@pytest.mark.parametrize('change', [
    {'robot': 99}, {'name': ''}, {'name': '/' + 'x' * 256}, {'name': '/a\nb'},
    {'name': '/\N{EURO SIGN}' * 100}, {'tag': 1}, {'moment': 0}])
def test_who_says_nonsense_is_not_heard(lab: Lab, change: dict[str, object]) -> None:
    lab.share()
    statuses = lab.node('stranger').create_publisher(HelperStatus, '/student/helpers', qos.HELPERS)
    good = {'name': '/good', 'process': 1, 'robot': ROBOT, 'channel': 1}

    def said() -> bool:
        for fields, tag in (({**good, 'name': '/bad', 'channel': 2, **change}, change.get('tag')),
                            (good, None)):
            message = HelperStatus(**{'moment': time.monotonic_ns(), **{
                key: value for key, value in fields.items() if key != 'tag'}})
            UNKEYED.sign(message, b'/student/helpers')
            if tag is not None:
                message.tag = tag
            statuses.publish(message)
        return bool(lab.robot.devices)

    wait_until(said, TIMEOUT)
    assert lab.robot.devices.keys() == {'/good'}
