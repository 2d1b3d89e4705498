# SPDX-License-Identifier: Apache-2.0
"""A topic whose two ends do not fit together says so."""

from collections.abc import Callable, Iterator
import threading
import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from shadowtutor_ros.nodes.toolkit.topics import compressed_topic, publisher, subscription

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def ends(
    domain_id: int, capfd: pytest.CaptureFixture[str],
) -> Iterator[tuple[Node, Node, Callable[[str], str]]]:
    """Our node, somebody else's, and the next warning that contains a word."""
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    ours, theirs = (rclpy.create_node(name, context=context) for name in ('ours', 'theirs'))
    said = ''

    def warning(word: str) -> str:
        nonlocal said
        deadline = time.monotonic() + TIMEOUT
        while True:
            said += capfd.readouterr().err
            for line in said.splitlines(keepends=True):
                _, ours_says, text = line.partition('[ours]: ')
                if ours_says and word in text and text.endswith('\n'):
                    return text
            assert time.monotonic() < deadline, said
            time.sleep(0.01)

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


def topic_of(
    domain_id: int, base: str, rules: list[str], form: str | None = None,
) -> str:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('student', namespace='robot', context=context, cli_args=[
        '--ros-args', *(word for rule in rules for word in ('-r', rule))])
    try:
        name = compressed_topic(node, base, *(() if form is None else (form,)))
        return node.create_publisher(Image, name, 1).topic_name
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.mark.parametrize(('base', 'rules', 'topic'), [
    ('image', [], '/robot/image/compressed'),
    ('image', ['image:=/cam/image_raw'], '/cam/image_raw/compressed'),
    ('image', ['image:=image_raw'], '/robot/image_raw/compressed'),
    ('image', ['/robot/image:=/front'], '/front/compressed'),
    ('image', ['image:=/cam', 'image/compressed:=/jpeg'], '/jpeg'),
    ('image', ['image/compressed:=/jpeg'], '/jpeg'),
    ('~/mask', ['~/mask:=/seg/mask'], '/seg/mask/compressed'),
    ('~/mask', ['__node:=seg'], '/robot/seg/mask/compressed'),
    ('~/mask', ['__ns:=/r1', '~/mask:=mask'], '/r1/mask/compressed'),
    ('~/overlay', ['~/mask:=/seg/mask'], '/robot/student/overlay/compressed'),
])
def test_the_compressed_images_belong_to_what_the_base_is_remapped_to(
    domain_id: int, base: str, rules: list[str], topic: str,
) -> None:
    assert topic_of(domain_id, base, rules) == topic


@pytest.mark.parametrize(('rules', 'topic'), [
    ([], '/robot/student/mask/rle'), (['~/mask:=/seg/mask'], '/seg/mask/rle'),
    (['~/mask/rle:=/runs', '~/mask/compressed:=/png'], '/runs')])
def test_other_forms_follow_as_well(domain_id: int, rules: list[str], topic: str) -> None:
    assert topic_of(domain_id, '~/mask', rules, 'rle') == topic


def test_what_is_overridden_for_one_topic_is_the_same_for_all_others(domain_id: int) -> None:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('ours', context=context, cli_args=[
        '--ros-args', '-p', 'qos_overrides./mask.publisher.reliability:=reliable',
        '-p', 'qos_overrides./image.subscription.reliability:=reliable'])
    try:
        assert publisher(node, Image, '/mask', BEST_EFFORT).qos_profile.reliability == (
            ReliabilityPolicy.RELIABLE)
        subscription(node, Image, '/image', lambda msg: None, BEST_EFFORT)
        assert BEST_EFFORT.reliability == ReliabilityPolicy.BEST_EFFORT
        assert publisher(node, Image, '/overlay', BEST_EFFORT).qos_profile.reliability == (
            ReliabilityPolicy.BEST_EFFORT)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
