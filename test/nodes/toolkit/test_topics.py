# SPDX-License-Identifier: Apache-2.0
"""A topic whose two ends do not fit together says so."""

from collections.abc import Callable, Iterator
import queue
import threading

import pytest
from rcl_interfaces.msg import Log
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from shadowtutor_ros.nodes.toolkit.topics import publisher, subscription

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
# A log may be written before the two nodes have found each other.
SAID_BEFORE = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def ends(domain_id: int) -> Iterator[tuple[Node, Node, Callable[[str], str]]]:
    """Our node, somebody else's, and the next warning that contains a word."""
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    ours, theirs = (rclpy.create_node(name, context=context) for name in ('ours', 'theirs'))
    logs: queue.Queue[Log] = queue.Queue()
    theirs.create_subscription(Log, '/rosout', logs.put, SAID_BEFORE)

    def warning(word: str) -> str:
        while True:
            log = logs.get(timeout=TIMEOUT)
            if log.name == 'ours' and word in log.msg:
                return str(log.msg)

    executor = SingleThreadedExecutor(context=context)
    for node in (ours, theirs):
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield ours, theirs, warning
    executor.shutdown()
    thread.join()
    rclpy.shutdown(context=context)


def test_a_subscriber_who_asks_for_too_much_is_explained(
    ends: tuple[Node, Node, Callable[[str], str]],
) -> None:
    ours, theirs, warning = ends
    publisher(ours, Image, '~/mask', BEST_EFFORT)
    theirs.create_subscription(Image, '/ours/mask', lambda msg: None, RELIABLE)
    text = warning('/ours/mask')
    assert 'asks for more reliability than this node offers' in text
    assert 'qos_overrides./ours/mask.publisher.reliability' in text


def test_a_camera_that_offers_too_little_is_explained(
    ends: tuple[Node, Node, Callable[[str], str]],
) -> None:
    ours, theirs, warning = ends
    subscription(ours, Image, 'image', lambda msg: None, RELIABLE)
    theirs.create_publisher(Image, '/image', BEST_EFFORT)
    text = warning('/image')
    assert 'offers less reliability than this node asks for' in text
    assert 'qos_overrides./image.subscription.reliability' in text
