# SPDX-License-Identifier: Apache-2.0
"""Payloads in pieces between two nodes, one at a time in each direction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
import math
import secrets
import threading
import time

from rclpy.validate_full_topic_name import validate_full_topic_name
from shadowtutor_msgs.msg import Piece, PieceReport

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.transfer.pieces import BadPiece
from shadowtutor_ros.transfer.receiver import Receiver
from shadowtutor_ros.transfer.sender import PATIENCE, Sender
from shadowtutor_ros.wire.piece_messages import (
    piece_from_msg,
    piece_to_msg,
    report_from_msg,
    report_to_msg,
)
from shadowtutor_ros.wire.seal import BadTag, Seal, UNKEYED

UP, DOWN = 'up', 'down'
MOST_TUTORS = 8  # that one robot knows


def channel_name(node_name: str, stream_id: str, robot: int = 0, tutor: int = 0) -> str:
    """
    Return the prefix of a stream's topics: of one stream of one process, and of no other.

    ``node_name`` is the robot's, fully qualified; ``robot`` the random 64-bit number of its
    process; ``tutor`` says to which of its tutors, up to MOST_TUTORS. Whoever has the same node
    name, or the same stream id by mistake, has other topics.
    """
    return node_name + _channel_of(stream_id, robot, tutor)


def is_channel_of(name: str, stream_id: str, robot: int) -> bool:
    """Say whether ``name`` is a prefix that the stream's robot can have."""
    return any(name.endswith(_channel_of(stream_id, robot, tutor))
               for tutor in range(MOST_TUTORS))


def _channel_of(stream_id: str, robot: int, tutor: int) -> str:
    digest = blake2b(stream_id.encode(), digest_size=8, salt=robot.to_bytes(8, 'big'),
                     person=bytes([tutor]))
    return f'/channel/s{digest.hexdigest()}'


@dataclass
class _Expected:
    transfer: int
    on_payload: Callable[[bytes], None]
    on_progress: Callable[[], None]


class PieceChannel:
    """
    One end of the topics under ``name``: pieces go out on ``outward``, come in on ``inward``.

    The robot's end sends ``up``, the tutor's ``down``. What comes is taken in the thread of
    ``channels``' listener. ``max_bytes`` bounds what is collected. What has no tag of ``seal`` is
    not there at all.
    """

    def __init__(
        self, channels: ChannelNode, name: str, outward: str, inward: str, max_bytes: int,
        seal: Seal = UNKEYED,
    ) -> None:
        """Raise InvalidTopicNameException, with nothing made."""
        self.name = name
        self.path = PathEstimate()
        self._node = node = channels.node
        self._listener = channels.listener
        self._receiver = Receiver(max_bytes)
        self._sender: Sender | None = None
        self._on_progress: Callable[[], None] = _nothing
        self._on_sent: Callable[[], None] = _nothing
        self._expected: _Expected | None = None
        self._looks_at = math.inf  # when the thread that sends looks again by itself
        self._closed = False
        self._seal = seal
        self._topics = {way: f'{name}/{way}'.encode() for way in (outward, inward)}
        self._outward, self._inward = outward, inward
        self._changed = threading.Condition()
        for topic in (outward, inward):
            validate_full_topic_name(f'{name}/{topic}_report')
        # Without events: an executor asks each of them whenever it wakes up.
        publishing = {'qos_profile': qos.PIECES, 'event_callbacks': PublisherEventCallbacks(
            use_default_callbacks=False)}
        listening = {'qos_profile': qos.PIECES, 'event_callbacks': SubscriptionEventCallbacks(
            use_default_callbacks=False), 'callback_group': channels.listener}
        self._pieces = node.create_publisher(Piece, f'{name}/{outward}', **publishing)
        self._reports = node.create_publisher(
            PieceReport, f'{name}/{inward}_report', **publishing)
        self._incoming = node.create_subscription(
            Piece, f'{name}/{inward}', self._on_piece, **listening)
        self._answers = node.create_subscription(
            PieceReport, f'{name}/{outward}_report', self._on_report, **listening)
        self._thread = threading.Thread(target=self._send, name=f'pieces {outward}')

    def send(
        self, payload: bytes, on_progress: Callable[[], None] | None = None,
        transfer: int | None = None, on_sent: Callable[[], None] | None = None,
    ) -> int:
        """
        Begin to send and return the transfer's id; what was being sent is given up.

        ``on_progress`` is called with every report, ``on_sent`` once, when the other end has
        everything. ``transfer`` is an id that the other end knows already. A closed channel sends
        nothing. When the other end is silent for the sender's patience, the log says so and
        nothing is sent any more.
        """
        transfer = transfer or new_transfer()
        with self._changed:
            if self._closed:
                return transfer
            self._sender = Sender(payload, transfer, self.path, time.monotonic())
            self._on_progress = on_progress or _nothing
            self._on_sent = on_sent or _nothing
            if not self._thread.is_alive():
                self._thread.start()
            self._changed.notify()
        return transfer

    def stop_sending(self) -> None:
        """Give up what is being sent."""
        with self._changed:
            self._sender = None

    def expect(
        self, transfer: int, on_payload: Callable[[bytes], None],
        on_progress: Callable[[], None] | None = None,
    ) -> None:
        """
        Hand the payload over once, as soon as it is complete; nobody waits for others any more.

        ``on_progress`` is called with every piece.
        """
        with self._changed:
            self._expected = _Expected(transfer, on_payload, on_progress or _nothing)
            self._receiver.expected = transfer
        self._deliver()

    def close(self) -> None:
        """End sending and receiving."""
        with self._changed:
            self._closed = True
            self._expected = None
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()
        for subscription in (self._incoming, self._answers):
            self._listener.forget(subscription)
            self._node.destroy_subscription(subscription)
        for publisher in (self._pieces, self._reports):
            self._node.destroy_publisher(publisher)

    def _send(self) -> None:
        while True:
            with self._changed:
                if self._closed:
                    return
                now = time.monotonic()
                pieces = self._sender.pieces(now) if self._sender else []
                if self._sender is not None and self._sender.given_up:
                    self._node.get_logger().warning(
                        f'{self.name}: nobody has reported a piece for {PATIENCE:g} s, '
                        f'gives transfer {self._sender.transfer:x} up')
                    self._sender = None
                if not pieces:
                    self._looks_at = self._sender.wake_at if self._sender else math.inf
                    self._changed.wait(
                        min(max(0.0, self._looks_at - now), threading.TIMEOUT_MAX))
                    continue
            for piece in pieces:
                self._pieces.publish(piece_to_msg(
                    piece, self._seal, self._topics[self._outward]))

    def _on_report(self, msg: PieceReport) -> None:
        with self._changed:
            if (self._sender is None or self._sender.transfer != msg.transfer
                    or not self._is_ours(msg, self._outward)):
                return
            self._sender.on_report(report_from_msg(msg), time.monotonic())
            on_progress, on_sent = self._on_progress, _nothing
            if self._sender.done:
                on_sent, self._on_sent = self._on_sent, _nothing
            if self._sender.has_more or self._sender.wake_at < self._looks_at:
                self._changed.notify()
        on_progress()
        on_sent()

    def _on_piece(self, msg: Piece) -> None:
        with self._changed:
            if self._closed or not self._is_ours(msg, self._inward):
                return
            try:
                report = self._receiver.on_piece(piece_from_msg(msg))
            except BadPiece as error:
                self._node.get_logger().warning(str(error), throttle_duration_sec=5.0)
                return
            expected = self._expected
        if report is not None:
            self._reports.publish(report_to_msg(
                report, self._seal, self._topics[self._inward]))
        if expected is not None and expected.transfer == msg.transfer:
            expected.on_progress()
            self._deliver()

    def _is_ours(self, msg: Piece | PieceReport, way: str) -> bool:
        try:
            self._seal.check(msg, self._topics[way])
        except BadTag as error:
            self._node.get_logger().warning(
                f'{self.name}: {error}', throttle_duration_sec=60.0)
            return False
        return True

    def _deliver(self) -> None:
        with self._changed:
            expected = self._expected
            payload = self._receiver.take(expected.transfer) if expected else None
            if expected is None or payload is None:
                return
            self._expected = None
        expected.on_payload(payload)


def new_transfer() -> int:
    """Return an id for a transfer."""
    return secrets.randbits(64) or 1


def _nothing() -> None:
    pass
