# SPDX-License-Identifier: Apache-2.0
"""Subscribes to whatever students and tutors are on the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
import os
import threading
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.msg import ClassMap, Lesson, StudentStatus, TutorStatus

from shadowtutor_ros.monitor.fleet import Fleet
from shadowtutor_ros.monitor.legend import Legend
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.wire.cdr import check_sizes
from shadowtutor_ros.wire.errors import BadCdr

_PERIOD = 1.0  # seconds between looks at the graph
_LESSON = 'shadowtutor_msgs/msg/Lesson'
_PICTURE = 'sensor_msgs/msg/CompressedImage'
_PREVIEW = '/preview/compressed'  # of a student, beside its status
_STUDENT = 'shadowtutor_msgs/msg/StudentStatus'

Hear = Callable[[str, Any], None]


class FleetWatch:
    """
    Feeds ``fleet`` from every topic of our types, wherever it is and whenever it comes.

    Nodes are named by the topic's parent: /robot1/student/status is /robot1/student. Lessons and
    previews, which are made only for subscribers, are left alone unless ``want_pictures``.
    """

    def __init__(self, node: Node, fleet: Fleet) -> None:
        self._node = node
        self._fleet = fleet
        self._pictures = False
        self._subscriptions: dict[tuple[str, str], Any] = {}
        self._kinds: dict[str, tuple[type, QoSProfile, Hear]] = {
            _STUDENT: (
                StudentStatus, qos.STATE,
                lambda name, msg: fleet.hear_student(name, msg, time.monotonic())),
            'shadowtutor_msgs/msg/TutorStatus': (
                TutorStatus, qos.STATE,
                lambda name, msg: fleet.hear_tutor(name, msg, time.monotonic())),
            'shadowtutor_msgs/msg/ClassMap': (
                ClassMap, qos.STATE,
                lambda name, msg: fleet.hear_legend(
                    name, Legend.of(msg.class_names, msg.colours))),
            _LESSON: (
                Lesson, qos.LESSONS,
                lambda name, msg: fleet.hear_lesson(name, msg, time.monotonic())),
            _PICTURE: (
                CompressedImage, qos.PICTURE,
                lambda name, msg: fleet.hear_preview(name, msg, time.monotonic())),
        }
        node.create_timer(_PERIOD, self._look)
        self._wake = node.create_guard_condition(self._look)
        self._wake.trigger()

    def want_pictures(self, wanted: bool) -> None:
        """Subscribe to lessons and previews, or no longer; from any thread, at any time."""
        self._pictures = wanted
        self._wake.trigger()

    def _look(self) -> None:
        """Subscribe to what is published now, and to nothing else; in the executor's thread."""
        published = {
            (topic, kind): _parent(topic.removesuffix('/compressed'))
            for topic, kinds in self._node.get_topic_names_and_types()
            for kind in kinds
            if kind in self._kinds and (kind != _PICTURE or topic.endswith(_PREVIEW))
            and self._node.count_publishers(topic)}
        students = {name for (_, kind), name in published.items() if kind == _STUDENT}
        published = {entry: name for entry, name in published.items()
                     if entry[1] != _PICTURE or name in students}
        wanted = {entry: name for entry, name in published.items()
                  if self._pictures or entry[1] not in (_LESSON, _PICTURE)}
        for entry in [entry for entry in self._subscriptions if entry not in wanted]:
            self._node.destroy_subscription(self._subscriptions.pop(entry))
        for (topic, kind), name in wanted.items():
            if (topic, kind) not in self._subscriptions:
                message, profile, hear = self._kinds[kind]
                self._subscriptions[topic, kind] = self._node.create_subscription(
                    message, topic, partial(self._hear, message, partial(hear, name)), profile,
                    raw=True)
        self._fleet.see(set(published.values()), time.monotonic())

    def _hear(self, message: type, hear: Callable[[Any], None], data: bytes) -> None:
        """Hand over what is within its bounds: anybody may publish."""
        try:
            check_sizes(data, message)
            msg = deserialize_message(data, message)
        except (BadCdr, RuntimeError) as error:
            self._node.get_logger().warning(
                f'{message.__name__} refused: {error}', throttle_duration_sec=5.0)
            return
        hear(msg)


def _parent(topic: str) -> str:
    return topic.rpartition('/')[0] or '/'


@contextmanager
def watching(fleet: Fleet) -> Iterator[FleetWatch]:
    """Feed ``fleet`` meanwhile, from a node and a thread of its own."""
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node(f'shadowtutor_top_{os.getpid()}', context=context)
    watch = FleetWatch(node, fleet)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name='fleet_watch')
    thread.start()
    try:
        yield watch
    finally:
        rclpy.shutdown(context=context)
        thread.join()
        node.destroy_node()
