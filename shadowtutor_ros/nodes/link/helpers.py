# SPDX-License-Identifier: Apache-2.0
"""A robot's helpers: offers them its frames, and makes devices of those that come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import threading
import time

from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_full_topic_name import validate_full_topic_name
from shadowtutor_msgs.msg import HelperStatus, ShareOffer

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import channel_name
from shadowtutor_ros.nodes.link.remote_device import RemoteDevice
from shadowtutor_ros.runtime.device import Sharing
from shadowtutor_ros.runtime.frame_packing import FramePacking
from shadowtutor_ros.wire.messages import quoted
from shadowtutor_ros.wire.seal import BadTag, Moments, Replayed, Seal

OFFER, STATUSES = 'share', 'helpers'  # topics below the robot's node
MOST_HELPERS = 16  # as in ShareOffer.msg
_SILENCE = 1.0  # seconds; a status comes twice in it
_LOOK = 0.1
_REMEMBERED = 64  # channels that were let go
_MAX_NAME = 256
_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def helper_channel(robot_name: str, robot: int, channel: int) -> str:
    """Return the prefix of a helper's topics: ``robot`` and ``channel`` are random numbers."""
    return channel_name(robot_name, f'helper {channel:016x}', robot)


@dataclass(frozen=True)
class Standing:
    """What a helper said of itself last, and its device; None while it has not joined."""

    status: HelperStatus
    device: RemoteDevice | None


@dataclass
class _Held:
    """A helper that has joined; ``heard`` in seconds of ``time.monotonic()``."""

    device: RemoteDevice
    status: HelperStatus
    heard: float


class Helpers:
    """
    Has ``sharing`` deal frames to whoever joins ``owner``, until he is silent or has no weights.

    ``robot`` is the random number of the process. ``packing`` makes what frames to one helper are
    packed by. With a key in ``seal`` nobody without it joins.
    """

    def __init__(
        self, owner: Node, channels: ChannelNode, robot: int, sharing: Sharing,
        packing: Callable[[], FramePacking], seal: Seal,
    ) -> None:
        self._owner = owner
        self._channels = channels
        self._node = node = channels.node
        self._robot = robot
        self._sharing = sharing
        self._packing = packing
        self._seal = seal
        self._name = owner.get_fully_qualified_name()
        self._held: dict[str, _Held] = {}
        self._others: dict[str, HelperStatus] = {}  # that have not joined, as they were last heard
        self._gone: deque[int] = deque(maxlen=_REMEMBERED)
        self._moments = Moments()
        self._lock = threading.RLock()
        self._closed = False
        self._looked = time.monotonic()
        offers, statuses = f'{self._name}/{OFFER}', f'{self._name}/{STATUSES}'
        self._contexts = offers.encode(), statuses.encode()
        self._offers = node.create_publisher(ShareOffer, offers, qos.OFFER)
        self._statuses = node.create_subscription(
            HelperStatus, statuses, self._on_status, qos.HELPERS)
        self._timer = node.create_timer(_LOOK, self._look, clock=_STEADY)
        self._offer()

    def standings(self) -> dict[str, Standing]:
        """Return what is known of helpers, by their names."""
        with self._lock:
            return {**{name: Standing(status, None) for name, status in self._others.items()},
                    **{name: Standing(held.status, held.device)
                       for name, held in self._held.items()}}

    def close(self) -> None:
        """Let all go and offer nothing any more."""
        with self._lock:
            self._closed = True
            for name in list(self._held):
                self._let_go(name, 'the robot shares no more')
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._statuses)
        self._node.destroy_publisher(self._offers)

    def _on_status(self, msg: HelperStatus) -> None:
        try:
            self._seal.check(msg, self._contexts[1])
            self._moments.take(msg.name, msg.process, msg.moment)
        except (BadTag, Replayed) as error:
            self._owner.get_logger().warning(
                f'a helper is not heard: {error}', throttle_duration_sec=60.0)
            return
        try:
            validate_full_topic_name(msg.name)  # what a node's name can be, too
        except InvalidTopicNameException:
            return
        if msg.robot != self._robot or len(msg.name) > _MAX_NAME:
            return
        with self._lock:
            if not self._closed:
                self._take(msg)

    def _take(self, msg: HelperStatus) -> None:
        name, held = msg.name, self._held.get(msg.name)
        if held is not None and held.status.process != msg.process:
            # It has died and begins again, or there are two: the first one's silence will tell.
            self._owner.get_logger().warning(
                f'{name}: another helper has this name, or had it a moment ago; give every one a '
                'name or a namespace', throttle_duration_sec=60.0)
            return
        if held is not None and held.status.channel == msg.channel:
            held.status, held.heard = msg, time.monotonic()
            return
        if held is not None:
            self._let_go(name, msg.detail or 'joins anew')
        full = len(self._held) >= MOST_HELPERS
        if msg.channel == 0 or msg.channel in self._gone or full:
            if full:
                self._owner.get_logger().warning(
                    f'{name}: no place for more than {MOST_HELPERS} helpers',
                    throttle_duration_sec=60.0)
            elif msg.detail and name not in self._others:
                self._owner.get_logger().warning(f'{name} does not help: {msg.detail}')
            if name in self._others or len(self._others) < MOST_HELPERS:
                self._others[name] = msg
            return
        self._join(msg)

    def _join(self, msg: HelperStatus) -> None:
        name, channel = msg.name, msg.channel
        device = RemoteDevice(
            self._channels, name, helper_channel(self._name, self._robot, channel),
            self._packing(), self._sharing.on_done, partial(self._on_lost, name, channel),
            partial(self._on_sign, name, channel), self._seal)
        self._others.pop(name, None)
        self._held[name] = _Held(device, msg, time.monotonic())
        self._owner.get_logger().info(f'{name} helps')
        self._offer()
        self._sharing.join(device)

    def _on_sign(self, name: str, channel: int) -> None:
        held = self._held.get(name)
        if held is not None and held.status.channel == channel:
            held.heard = time.monotonic()

    def _on_lost(self, name: str, channel: int, reason: str) -> None:
        with self._lock:
            held = self._held.get(name)
            if held is not None and held.status.channel == channel:
                self._let_go(name, reason)

    def _look(self) -> None:
        now = time.monotonic()
        late, self._looked = max(0.0, now - self._looked - 2 * _LOOK), now
        with self._lock:
            for name, held in list(self._held.items()):
                held.heard += late  # nobody was heard while this process had no CPU
                if now > held.heard + _SILENCE:
                    self._let_go(name, f'silent for {_SILENCE:g} s')

    def _let_go(self, name: str, reason: str) -> None:
        held = self._held.pop(name)
        self._gone.append(held.status.channel)
        self._owner.get_logger().info(f'{name} helps no more: {quoted(reason)}')
        self._sharing.leave(name)
        held.device.close()
        self._offer()

    def _offer(self) -> None:
        self._offers.publish(self._seal.sign(ShareOffer(
            robot=self._robot,
            channels=[held.status.channel for held in self._held.values()]), self._contexts[0]))
