# SPDX-License-Identifier: Apache-2.0
"""Payloads cross DDS in pieces, both ways at once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
import queue
import threading

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name
from robots import wait_until
from shadowtutor_msgs.msg import Piece

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import channel_name, DOWN, PieceChannel, UP
from shadowtutor_ros.transfer.pieces import PIECE_BYTES, piece_count
from shadowtutor_ros.wire.seal import UNKEYED

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
CHANNEL = channel_name('/robot', 'camera', 7)
PICTURE = np.random.default_rng(1).bytes(90_001)
WEIGHTS = np.random.default_rng(2).bytes(300_000)


@dataclass
class Ends:
    node: Node
    channels: ChannelNode
    robot: PieceChannel
    tutor: PieceChannel


@pytest.fixture
def ends(domain_id: int) -> Iterator[Ends]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('both', context=context)
    nodes = ChannelNode(node), ChannelNode(node)
    ends = Ends(node, nodes[0], PieceChannel(nodes[0], CHANNEL, UP, DOWN, 1 << 20),
                PieceChannel(nodes[1], CHANNEL, DOWN, UP, 100_000))
    yield ends
    ends.robot.close()
    ends.tutor.close()
    for channel_node in nodes:
        channel_node.close()
    node.destroy_node()
    rclpy.shutdown(context=context)


def receive(channel: PieceChannel, transfer: int) -> bytes:
    arrived: queue.Queue[bytes] = queue.Queue()
    channel.expect(transfer, arrived.put)
    return arrived.get(timeout=TIMEOUT)


def test_streams_and_robots_have_channels_of_their_own() -> None:
    names = {channel_name(node, stream, robot) for node in ('/student', '/a/student')
             for stream in ('a', 'b', 'x' * 128) for robot in (1, 2, 2**64 - 1)}
    assert len(names) == 2 * 3 * 3
    for name in names:
        validate_full_topic_name(f'{name}/down_report')


def test_who_hears_of_nobody_gives_up(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('shadowtutor_ros.transfer.sender.PATIENCE', 0.3)
    lonely = PieceChannel(ends.channels, '/nowhere', UP, DOWN, 1000)
    lonely.send(PICTURE)
    wait_until(lambda: lonely._sender is None, TIMEOUT)
    lonely.send(PICTURE)  # it may try again
    assert lonely._sender is not None
    lonely.close()


def test_payloads_cross_both_ways_at_once(ends: Ends) -> None:
    arrived: queue.Queue[tuple[str, bytes]] = queue.Queue()
    reported, came = threading.Event(), threading.Event()
    up = ends.robot.send(PICTURE, reported.set)
    ends.tutor.expect(up, lambda data: arrived.put(('up', data)), came.set)
    down = ends.tutor.send(WEIGHTS)
    ends.robot.expect(down, lambda data: arrived.put(('down', data)))
    assert dict(arrived.get(timeout=TIMEOUT) for _ in range(2)) == {
        'up': PICTURE, 'down': WEIGHTS}
    assert reported.wait(TIMEOUT)
    assert came.wait(TIMEOUT)
    assert ends.robot.path.srtt is not None
    assert ends.robot.path.sent - ends.robot.path.repeated == piece_count(len(PICTURE))


def test_a_payload_that_came_before_it_was_expected_is_handed_over(ends: Ends) -> None:
    reported = threading.Event()
    transfer = ends.robot.send(b'early', reported.set)
    assert reported.wait(TIMEOUT)
    assert receive(ends.tutor, transfer) == b'early'


def test_only_what_is_expected_is_progress_and_is_handed_over_once(ends: Ends) -> None:
    strays, reported = threading.Event(), threading.Event()
    ends.tutor.expect(99, lambda data: None, strays.set)
    ends.robot.send(b'of nobody', reported.set)
    assert reported.wait(TIMEOUT)
    assert not strays.is_set()
    arrived: queue.Queue[bytes] = queue.Queue()
    transfer = ends.robot.send(b'awaited')
    ends.tutor.expect(transfer, arrived.put)
    assert arrived.get(timeout=TIMEOUT) == b'awaited'
    reported.clear()
    ends.robot.send(b'of nobody again', reported.set)
    assert reported.wait(TIMEOUT)
    assert arrived.empty()


def test_a_newer_payload_takes_the_place_of_an_older(ends: Ends) -> None:
    old = ends.robot.send(PICTURE)
    overtaken: queue.Queue[bytes] = queue.Queue()
    new = ends.robot.send(b'newer')
    ends.tutor.expect(old, overtaken.put)
    assert receive(ends.tutor, new) == b'newer'
    assert overtaken.empty()


def test_what_is_too_large_is_not_collected_and_the_rest_works(ends: Ends) -> None:
    publisher = ends.node.create_publisher(Piece, f'{CHANNEL}/up', qos.PIECES)
    publisher.publish(UNKEYED.sign(Piece(
        transfer=5, size=2**31, length=PIECE_BYTES, index=0, order=1, report=True,
        data=array('B', bytes(PIECE_BYTES))), f'{CHANNEL}/up'.encode()))
    ends.robot.send(PICTURE + bytes(100_000))
    transfer = ends.robot.send(b'small')
    assert receive(ends.tutor, transfer) == b'small'
