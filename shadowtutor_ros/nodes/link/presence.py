# SPDX-License-Identifier: Apache-2.0
"""Whether a tutor is there: it offers a topic on which nothing is said, and middleware watches."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Empty

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

from shadowtutor_ros.nodes import qos


def show_presence(node: Node) -> Publisher:
    """Offer ``~/alive`` as a tutor that serves robots; a killed process stops doing so, too."""
    return node.create_publisher(Empty, '~/alive', qos.ALIVE)


class Change(Enum):
    """
    What is seen of a tutor's processes.

    LOST: one renews its lease no more. BACK: that very one does again. NEW: another one came.
    """

    LOST = 'lost'
    BACK = 'back'
    NEW = 'new'


class TutorPresence:
    """
    Watches ``<tutor>/alive`` by its liveliness, which a killed process loses within a second.

    The graph forgets a process only after the participant's lease, half a minute: until then it
    is one of those ``lost``. ``gone``: there was a tutor, and there is none any more.
    ``on_change`` is told of every tutor of that name. Where the middleware has no such events a
    tutor never goes.
    """

    def __init__(self, node: Node, tutor: str, on_change: Callable[[Change], None]) -> None:
        self._node = node
        self._on_change = on_change
        self.gone, self.lost = False, 0
        callbacks = SubscriptionEventCallbacks(liveliness=self._on_liveliness)
        try:
            self._subscription = self._subscribe(tutor, callbacks)
        except UnsupportedEventTypeError:
            self._subscription = self._subscribe(tutor, None)

    def close(self) -> None:
        """Watch no longer."""
        self._node.destroy_subscription(self._subscription)

    def _subscribe(self, tutor: str, callbacks: Any) -> Any:
        return self._node.create_subscription(
            Empty, f'{tutor}/alive', lambda msg: None, qos.ALIVE, event_callbacks=callbacks)

    def _on_liveliness(self, event: Any) -> None:
        self.gone, self.lost = event.alive_count == 0, event.not_alive_count
        for change in _changes(event.alive_count_change, event.not_alive_count_change):
            self._on_change(change)


def _changes(alive: int, lost: int) -> tuple[Change, ...]:
    """Return what happened when so many more are alive, and so many more known and lost."""
    if alive == lost == 0 or alive > 0 > lost:
        return (Change.BACK,)
    if alive > 0:
        return (Change.NEW,)
    if alive < 0:
        return (Change.LOST,)
    return (Change.LOST, Change.NEW) if lost > 0 else ()  # or one is forgotten that was lost
