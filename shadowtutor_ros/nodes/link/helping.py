# SPDX-License-Identifier: Apache-2.0
"""A helper's way to its robot: joins it when it is there, and again when it has let go."""

from __future__ import annotations

from collections import deque
import secrets
import threading
import time
from typing import Any, NamedTuple

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from shadowtutor_msgs.msg import HelperStatus, ShareOffer

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.helpers import helper_channel, OFFER, STATUSES
from shadowtutor_ros.nodes.link.payload_stream import PayloadStream
from shadowtutor_ros.nodes.link.piece_channel import DOWN, UP
from shadowtutor_ros.runtime.helper import Helper
from shadowtutor_ros.wire.jobs import MAX_ORDER
from shadowtutor_ros.wire.messages import clipped
from shadowtutor_ros.wire.seal import BadTag, Seal

_PERIOD = 0.5  # seconds between statuses
_INBOX = 64, 2 * MAX_ORDER  # payloads that wait, and their bytes
_PAUSE = 10.0  # seconds before it joins again where it could not do a single frame
_MAX_DETAIL = 300  # bytes, as in HelperStatus.msg
_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


class _Arrived(NamedTuple):
    stream: PayloadStream
    payload: bytes
    at: float  # time.perf_counter()


class Helping:
    """
    Takes the payloads of ``robot``, a student node's name, to ``helper`` and its answers back.

    ``owner`` is the helper's node. Call ``work`` from the thread that computes, until it returns;
    ``close`` lets it go.
    """

    def __init__(
        self, owner: Node, channels: ChannelNode, robot: str, helper: Helper, seal: Seal,
    ) -> None:
        self._owner = owner
        self._channels = channels
        self._node = node = channels.node
        self._helper = helper
        self._seal = seal
        topic = owner.resolve_topic_name(f'{robot}/{OFFER}')
        self.robot_name = topic.removesuffix(f'/{OFFER}')
        self.problem = ''  # why it does not help
        self._process = secrets.randbits(64) or 1
        self._robot = self._channel = 0  # random numbers
        self._there = False  # the robot, as the middleware sees it
        self._listed = False  # the robot has taken this channel
        self._not_before = 0.0  # time.monotonic()
        self._done_before = 0  # frames, when it joined
        self._stream: PayloadStream | None = None
        self._inbox: deque[_Arrived] = deque()
        self._changed = threading.Condition(threading.RLock())
        self._closed = False
        statuses = f'{self.robot_name}/{STATUSES}'
        self._contexts = topic.encode(), statuses.encode()
        self._statuses = node.create_publisher(HelperStatus, statuses, qos.HELPERS)
        self._timer = node.create_timer(_PERIOD, self._say, clock=_STEADY)
        try:
            self._offers = self._subscribe(
                topic, SubscriptionEventCallbacks(liveliness=self._on_liveliness))
        except UnsupportedEventTypeError:
            self._offers = self._subscribe(topic, None)

    @property
    def joined(self) -> bool:
        """Say whether the robot deals it frames."""
        return self._listed

    def work(self) -> None:
        """Do what comes until ``close``; raise what a device raises that is broken for good."""
        last: PayloadStream | None = None
        while (order := self._take()) is not None:
            stream, payload, at = order
            if stream is not last:
                self._helper.forget('no student yet')
                last = stream
            answer = self._helper.handle(payload, time.perf_counter() - at)
            if answer is not None:
                stream.send(answer)
            if self._helper.needs:
                with self._changed:
                    if stream is self._stream:
                        useless = self._helper.frames == self._done_before
                        self._join_anew(self._helper.needs, _PAUSE if useless else 0.0)

    def close(self) -> None:
        """Leave the robot; ``work`` returns."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._leave()
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._offers)
        self._node.destroy_publisher(self._statuses)

    def _take(self) -> _Arrived | None:
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._closed)
            if self._closed:
                return None
            return self._inbox.popleft()

    def _on_payload(self, stream: PayloadStream, payload: bytes) -> None:
        with self._changed:
            if stream is not self._stream:
                return
            self._inbox.append(_Arrived(stream, payload, time.perf_counter()))
            count, size = len(self._inbox), sum(len(each.payload) for each in self._inbox)
            if count > _INBOX[0] or size > _INBOX[1]:
                self._join_anew(f'was sent {count} payloads of {size} bytes at once', _PAUSE)
            self._changed.notify()

    def _subscribe(self, topic: str, callbacks: Any) -> Any:
        return self._node.create_subscription(
            ShareOffer, topic, self._on_offer, qos.OFFER, event_callbacks=callbacks)

    def _on_liveliness(self, event: Any) -> None:
        with self._changed:
            was, self._there = self._there, event.alive_count > 0
            if not self._there:
                self.problem = f'{self.robot_name} is gone'
                self._leave()
            elif not was and self._robot:
                self._join_anew('')

    def _on_offer(self, msg: ShareOffer) -> None:
        try:
            self._seal.check(msg, self._contexts[0])
        except BadTag as error:
            self.problem = f'an offer of {self.robot_name} is not taken: {error}'
            return
        with self._changed:
            if self._closed:
                return
            if msg.robot != self._robot:
                self._robot, self._there = msg.robot, True
                self._join_anew('')
            elif self._channel in msg.channels:
                self._listed = True
                self.problem = ''
            elif self._listed:
                self._join_anew('the robot has let go of it')

    def _join_anew(self, why: str, pause: float = 0.0) -> None:
        """Tell the robot why, and take another channel after ``pause`` seconds."""
        self.problem = why
        self._leave()
        self._not_before = time.monotonic() + pause
        self._say()

    def _leave(self) -> None:
        stream, self._stream = self._stream, None
        self._channel, self._listed = 0, False
        self._inbox.clear()
        if stream is not None:
            stream.close()

    def _say(self) -> None:
        """Publish how it is; join if it is time."""
        with self._changed:
            if self._closed or not self._there:
                return
            if self._stream is None and time.monotonic() >= self._not_before:
                self._channel = secrets.randbits(64) or 1
                self._done_before = self._helper.frames
                self._stream = PayloadStream(
                    self._channels, helper_channel(self.robot_name, self._robot, self._channel),
                    DOWN, UP, MAX_ORDER, self._on_payload, _nothing, self._seal)
            helper = self._helper
            self._statuses.publish(self._seal.sign(HelperStatus(
                name=self._owner.get_fully_qualified_name(), process=self._process,
                robot=self._robot, channel=self._channel, moment=time.monotonic_ns(),
                session_id=helper.session_id, version=helper.version, frames=helper.frames,
                failures=helper.failures, service_ms=1e3 * helper.service_seconds,
                detail=clipped(self.problem, _MAX_DETAIL)), self._contexts[1]))


def _nothing() -> None:
    pass
