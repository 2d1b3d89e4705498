# SPDX-License-Identifier: Apache-2.0
"""The tutor's ends of its robots' channels."""

from __future__ import annotations

import threading

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node

from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import DOWN, is_channel_of, PieceChannel, UP
from shadowtutor_ros.runtime.teaching import Teaching
from shadowtutor_ros.schedule.turns import Refused
from shadowtutor_ros.wire.seal import Seal, UNKEYED

MAX_KEY_FRAME = 64 << 20  # bytes


class BadChannel(Refused):
    """A robot names topics that cannot be."""


class StreamChannels:
    """One channel per stream that the tutor serves; may be used from any thread."""

    def __init__(self, node: Node, tutor: Teaching, seal: Seal = UNKEYED) -> None:
        self._seal = seal
        self._channel_node = ChannelNode(node)
        self._tutor = tutor
        self._channels: dict[str, PieceChannel] = {}
        self._lock = threading.Lock()
        self._closed = False

    def of(self, stream_id: str, robot: int, name: str) -> PieceChannel:
        """
        Return the channel ``name`` of a stream that has a place, opening it if it is not open.

        Raise BadChannel when it is not one of the stream's robot, Refused when all are closed.
        """
        if not is_channel_of(name, stream_id, robot):
            raise BadChannel(f'channel {name[:256]!r}: expected one of this stream and robot')
        with self._lock:
            if self._closed:
                raise Refused('the tutor is about to rest')
            channel = self._channels.get(stream_id)
            if channel is not None and channel.name == name:
                return channel
            served = self._tutor.streams
            for old in [s for s in self._channels if s not in served or s == stream_id]:
                self._channels.pop(old).close()
            try:
                channel = PieceChannel(
                    self._channel_node, name, DOWN, UP, MAX_KEY_FRAME, self._seal)
            except InvalidTopicNameException as error:
                raise BadChannel(f'channel {name[:256]!r}: {error}') from error
            self._channels[stream_id] = channel
            return channel

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            self._closed = True
            while self._channels:
                self._channels.popitem()[1].close()
        self._channel_node.close()
