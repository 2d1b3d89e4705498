# SPDX-License-Identifier: Apache-2.0
"""The tutor's ends of its robots' channels."""

from __future__ import annotations

from collections.abc import Callable
import queue
import threading
import time

from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node

from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import DOWN, PieceChannel, UP
from shadowtutor_ros.runtime.tutor import Superseded, Tutor, TutorError

MAX_KEY_FRAME = 64 << 20  # bytes
_POLL = 0.2  # seconds between looks at whether waiting still makes sense


class BadChannel(TutorError):
    """A robot names topics that cannot be."""


class LostKeyFrame(TutorError):
    """The pieces of a key frame stopped coming."""


class StreamChannels:
    """One channel per stream that the tutor serves; may be used from any thread."""

    def __init__(self, node: Node, tutor: Tutor) -> None:
        self._channel_node = ChannelNode(node)
        self._tutor = tutor
        self._channels: dict[str, PieceChannel] = {}
        self._lock = threading.Lock()

    def of(self, stream_id: str, name: str) -> PieceChannel:
        """
        Return the channel of a stream, opening it where there is none.

        Raise TooManyStreams, BadStreamId or BadChannel.
        """
        if (channel := self._known(stream_id, name)) is not None:
            return channel
        self._tutor.open(stream_id)
        with self._lock:
            if (channel := self._known(stream_id, name)) is not None:
                return channel
            served = self._tutor.streams
            for old in [s for s in self._channels if s not in served or s == stream_id]:
                self._channels.pop(old).close()
            try:
                channel = PieceChannel(self._channel_node.node, name, DOWN, UP, MAX_KEY_FRAME)
            except InvalidTopicNameException as error:
                raise BadChannel(f'channel {name!r}: {error}') from error
            self._channels[stream_id] = channel
            return channel

    def _known(self, stream_id: str, name: str) -> PieceChannel | None:
        channel = self._channels.get(stream_id)
        return channel if channel is not None and channel.name == name else None

    def close(self) -> None:
        """Close them all."""
        with self._lock:
            while self._channels:
                self._channels.popitem()[1].close()
        self._channel_node.close()


def collect(
    channel: PieceChannel, transfer: int, timeout: float, check: Callable[[], None],
) -> bytes:
    """
    Wait for a payload and return it.

    Raise LostKeyFrame when no piece comes for ``timeout`` seconds, Superseded when another
    payload is expected meanwhile, and whatever ``check`` raises, which is called while waiting.
    """
    arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    heard = time.monotonic()

    def on_progress() -> None:
        nonlocal heard
        heard = time.monotonic()

    channel.expect(transfer, arrived.put, on_progress)
    while True:
        try:
            return arrived.get(timeout=_POLL)
        except queue.Empty:
            check()
        if not channel.expects(transfer) and arrived.empty():
            raise Superseded('a newer key frame came before this one was complete')
        if time.monotonic() > heard + timeout:
            raise LostKeyFrame(f'no piece of the key frame for {timeout:g} s')
