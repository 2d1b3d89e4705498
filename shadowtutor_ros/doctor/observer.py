# SPDX-License-Identifier: Apache-2.0
"""Looks at the live ROS graph, as a node of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_check_compatible, QoSCompatibility
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.doctor.graph import Graph, SeenStudent
from shadowtutor_ros.nodes.qos import CAMERA, STATE

_IMAGES = {'sensor_msgs/msg/Image': Image, 'sensor_msgs/msg/CompressedImage': CompressedImage}
_STATUS = 'shadowtutor_msgs/msg/StudentStatus'
# Of the action's topics; the tutor publishes it, students subscribe to it.
_FEEDBACK, _FEEDBACK_NAME = 'shadowtutor_msgs/action/Distill_FeedbackMessage', '/_action/feedback'


def observe(seconds: float, listen: bool) -> Graph:
    """Look at the graph of this environment for ``seconds``; ``listen`` to cameras, too."""
    with _node() as (node, executor):
        statuses: dict[str, StudentStatus] = {}
        came: Counter[str] = Counter()
        known: set[str] = set()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            topics = _topics(node)
            students = _students(node, topics)
            for topic in sorted(topics.keys() - known):
                if topics[topic] == _STATUS:
                    node.create_subscription(
                        StudentStatus, topic, partial(statuses.__setitem__, topic), STATE)
                elif listen and topic in _cameras(node, topics, students):
                    node.create_subscription(
                        _IMAGES[topics[topic]], topic, partial(_count, came, topic), CAMERA,
                        raw=True)
                else:
                    continue
                known.add(topic)
            executor.spin_once(min(left, 0.1))
        topics = _topics(node)
        return Graph(
            seconds, _tutors(node, topics),
            {name: _student(node, topics, name, statuses.get(topic))
             for topic, name in _students(node, topics).items()},
            {topic: came[topic] if listen else None
             for topic in _cameras(node, topics, _students(node, topics))})


@contextmanager
def _node() -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node('shadowtutor_doctor', context=context, enable_rosout=False,
                                 start_parameter_services=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        yield node, executor
        executor.shutdown()
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def _topics(node: Node) -> dict[str, str]:
    """Return the type of every topic that has one type."""
    return {topic: types[0] for topic, types in node.get_topic_names_and_types()
            if len(types) == 1}


def _students(node: Node, topics: dict[str, str]) -> dict[str, str]:
    """Return the student node by the topic of its status."""
    return {topic: name for topic, kind in topics.items() if kind == _STATUS
            for name in _names(node.get_publishers_info_by_topic(topic))}


def _tutors(node: Node, topics: dict[str, str]) -> dict[str, str]:
    """Return the tutor node by its action."""
    return {topic.removesuffix(_FEEDBACK_NAME): name
            for topic, kind in topics.items() if kind == _FEEDBACK
            for name in _names(node.get_publishers_info_by_topic(topic))}


def _cameras(node: Node, topics: dict[str, str], students: dict[str, str]) -> list[str]:
    """Return the image topics with a publisher that is no student."""
    return sorted(topic for topic, kind in topics.items() if kind in _IMAGES
                  and set(_names(node.get_publishers_info_by_topic(topic)))
                  - set(students.values()))


def _student(
    node: Node, topics: dict[str, str], name: str, status: StudentStatus | None,
) -> SeenStudent:
    subscribed = {topic: info for topic, kind in topics.items()
                  for info in node.get_subscriptions_info_by_topic(topic)
                  if kind in (*_IMAGES, _FEEDBACK) and name in _names([info])}
    mismatches = {}
    for topic, own in subscribed.items():
        for other in node.get_publishers_info_by_topic(topic):
            fits, reason = qos_check_compatible(other.qos_profile, own.qos_profile)
            if fits == QoSCompatibility.ERROR:
                mismatches[topic] = reason.strip()
    return SeenStudent(
        tuple(topic.removesuffix(_FEEDBACK_NAME) for topic in subscribed
              if topics[topic] == _FEEDBACK),
        tuple(topic for topic in subscribed if topics[topic] in _IMAGES), mismatches,
        status is not None and status.state != StudentStatus.RUNNING,
        status.detail if status is not None else '',
        status.tutor if status is not None else '')


def _names(endpoints: list[Any]) -> list[str]:
    return [f'{e.node_namespace.rstrip("/")}/{e.node_name}' for e in endpoints]


def _count(came: Counter[str], topic: str, message: bytes) -> None:
    came[topic] += 1
