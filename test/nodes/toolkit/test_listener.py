# SPDX-License-Identifier: Apache-2.0
"""Subscriptions that no executor hears, but a thread of their own."""

from collections.abc import Iterator
import queue
import threading

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from robots import wait_until
from sensor_msgs.msg import Image

from shadowtutor_ros.nodes.toolkit.listener import Listener
from shadowtutor_ros.nodes.toolkit.topics import subscription

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
RELIABLE = QoSProfile(depth=64, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def node(domain_id: int) -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('both', context=context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


@pytest.fixture
def listener(node: Node) -> Iterator[Listener]:
    listener = Listener(node, 'ears')
    yield listener
    listener.close()


def test_messages_are_heard_in_order_by_its_thread_and_by_no_executor(
    node: Node, listener: Listener,
) -> None:
    heard: queue.Queue[tuple[int, str]] = queue.Queue()

    def on_image(image: Image) -> None:
        heard.put((image.height, threading.current_thread().name))
        if image.height == 1:
            raise ValueError('one bad image does not end it')

    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin)
    spinning.start()
    images = node.create_publisher(Image, 'images', RELIABLE)
    for topic in 'images', 'others':
        node.create_subscription(Image, topic, on_image, RELIABLE, callback_group=listener)
    wait_until(lambda: images.get_subscription_count() == 1, TIMEOUT)
    for number in range(50):
        images.publish(Image(height=number))
    assert [heard.get(timeout=TIMEOUT) for _ in range(50)] == [
        (number, 'ears') for number in range(50)]
    executor.shutdown()
    spinning.join()


def heard_by(node: Node, listener: Listener) -> tuple[Publisher, list[Subscription]]:
    """Return a publisher and two subscriptions that have heard it."""
    images = node.create_publisher(Image, 'images', RELIABLE)
    heard = [threading.Event() for _ in range(2)]
    ears = [node.create_subscription(Image, 'images', lambda _, each=each: each.set(), RELIABLE,
                                     callback_group=listener) for each in heard]
    wait_until(lambda: images.get_subscription_count() == 2, TIMEOUT)
    images.publish(Image())
    assert all(each.wait(TIMEOUT) for each in heard)
    return images, ears


def test_who_is_forgotten_can_be_destroyed_at_once(node: Node, listener: Listener) -> None:
    images, (first, second) = heard_by(node, listener)
    listener.forget(first)
    node.destroy_subscription(first)
    wait_until(lambda: images.get_subscription_count() == 1, TIMEOUT)
    listener.close()
    node.destroy_subscription(second)
    wait_until(lambda: images.get_subscription_count() == 0, TIMEOUT)


def test_events_are_told_too(
    node: Node, listener: Listener, capfd: pytest.CaptureFixture[str],
) -> None:
    subscription(node, Image, 'images', lambda image: None, RELIABLE, listener)
    node.create_publisher(Image, 'images', BEST_EFFORT)
    said = ''

    def warned() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return 'offers less reliability' in said

    wait_until(warned, TIMEOUT)


def test_the_end_of_the_context_is_its_end(node: Node, listener: Listener) -> None:
    heard_by(node, listener)
    rclpy.shutdown(context=node.context)
    listener._thread.join(TIMEOUT)
    assert not listener._thread.is_alive()
