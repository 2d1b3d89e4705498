# SPDX-License-Identifier: Apache-2.0
"""Publishers and subscriptions whose QoS can be overridden, and that say when it does not fit."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_policy_name_from_kind, QoSPolicyKind, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

OVERRIDABLE = QoSOverridingOptions((
    QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY, QoSPolicyKind.HISTORY,
    QoSPolicyKind.DEPTH, QoSPolicyKind.LIFESPAN, QoSPolicyKind.DEADLINE))


def compressed_topic(node: Node, base: str, form: str = 'compressed') -> str:
    """
    Return the topic of ``base``'s images, compressed to a ``form``.

    As in image_transport it belongs to what ``base`` is remapped to, unless it is remapped itself.
    """
    name = f'{base}/{form}'
    own = node.resolve_topic_name(name)
    if own != node.resolve_topic_name(name, only_expand=True):
        return own
    return f'{node.resolve_topic_name(base)}/{form}'


def publisher(node: Node, type_: type, topic: str, profile: QoSProfile) -> Publisher:
    """Create a publisher; warn when a subscription asks for more than it offers."""
    name = node.resolve_topic_name(topic)

    def on_incompatible(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        node.get_logger().warning(
            f'{name}: a subscriber asks for more {policy} than this node offers, so it gets '
            f'nothing. Ask for less there (RViz: Topic, {policy.capitalize()} Policy), or set '
            f'the parameter qos_overrides.{name}.publisher.{policy} of this node')

    return node.create_publisher(
        type_, topic, copy(profile), qos_overriding_options=OVERRIDABLE,  # overrides change it
        event_callbacks=PublisherEventCallbacks(incompatible_qos=on_incompatible))


def subscription(
    node: Node, type_: type, topic: str, callback: Callable[[Any], None], profile: QoSProfile,
    group: CallbackGroup | None = None,
) -> Subscription:
    """Create a subscription; warn when a publisher offers less than it asks for."""
    name = node.resolve_topic_name(topic)

    def on_incompatible(event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        node.get_logger().warning(
            f'{name}: a publisher offers less {policy} than this node asks for, so nothing of '
            f'it arrives. Set the parameter qos_overrides.{name}.subscription.{policy} of this '
            'node to what the publisher offers (ros2 topic info --verbose shows it)')

    return node.create_subscription(
        type_, topic, callback, copy(profile), callback_group=group,
        qos_overriding_options=OVERRIDABLE,
        event_callbacks=SubscriptionEventCallbacks(incompatible_qos=on_incompatible))
