# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile
from scene import Scene
from sensor_msgs.msg import Image

from shadowtutor_ros.harness.collector import Collector, LOSSLESS
from shadowtutor_ros.harness.processes import NodeProcess, ProcessDied
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.messages import header_to_msg

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
DEPTH = 10  # of the collector, which nobody waits for: so many masks are never lost
MASK = '/teacher/mask'
LOSSLESS_TOPICS = {f'qos_overrides.{topic}.{k}': v for k, v in LOSSLESS.items()
                   for topic in (f'{MASK}.publisher', '/image.subscription')}


def teacher(scene: Scene, log: Path, **parameters: object) -> NodeProcess:
    return NodeProcess('teacher_node', {
        'teacher': 'labels', 'teacher_weights': str(scene.label_maps), 'threads': 1,
        **LOSSLESS_TOPICS, f'qos_overrides.{MASK}.publisher.depth': DEPTH, **parameters}, log)


@pytest.fixture
def camera(domain_id: int) -> Iterator[Publisher]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('camera', context=context)
    yield node.create_publisher(  # keeps what it publishes before the teacher is there
        Image, '/image', QoSProfile(depth=DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL))
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_mask_comes_back_for_every_frame_that_has_a_label(
    domain_id: int, scene: Scene, camera: Publisher, tmp_path: Path,
) -> None:
    with Collector('/teacher', domain_id) as collector, \
            teacher(scene, tmp_path / 'log', max_pixels=20000):

        def mask_after(*images: Image) -> tuple[int, np.ndarray]:
            for image in images:
                camera.publish(image)
            received = collector.next_mask(TIMEOUT)
            assert received is not None
            return received

        def image(stamp: int, encoding: str = 'bgr8') -> Image:
            return image_from_array(scene.frames[0], encoding, header_to_msg(stamp, 'camera'))

        stamp, mask = mask_after(image(scene.stamp(3)))
        assert stamp == scene.stamp(3)
        np.testing.assert_array_equal(mask, scene.labels[3])
        large = image_from_array(
            np.zeros((200, 101, 3), np.uint8), 'bgr8', header_to_msg(scene.stamp(4), 'camera'))
        for index, bad in enumerate((image(10**12), image(scene.stamp(4), '32FC1'), large), 5):
            stamp, mask = mask_after(bad, image(scene.stamp(index)))
            assert stamp == scene.stamp(index)
            np.testing.assert_array_equal(mask, scene.labels[index])
    log = (tmp_path / 'log').read_text()
    assert 'none for the frame at 1000 s' in log


def test_replay_in_lockstep_is_the_naive_client(
    domain_id: int, scene: Scene, camera: Publisher, tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        collector = stack.enter_context(Collector('/teacher', domain_id))
        stack.enter_context(teacher(scene, tmp_path / 'teacher.log'))
        camera.publish(image_from_array(scene.frames[0], 'bgr8', header_to_msg(0, 'camera')))
        assert collector.next_mask(TIMEOUT) is not None  # so they know each other
        overrides = {f'qos_overrides.{topic}.{k}': v for k, v in LOSSLESS.items()
                     for topic in ('/image.publisher', f'{MASK}.subscription')}
        stack.enter_context(NodeProcess('replay_node', {
            'source': str(scene.video), 'stamps': 'media', 'pace': 'lockstep',
            'frames': DEPTH - 1, **overrides,
        }, tmp_path / 'replay.log', {'mask': MASK}))
        for index, label in enumerate(scene.labels[:DEPTH - 1]):
            received = collector.next_mask(TIMEOUT)
            assert received is not None
            assert received[0] == scene.stamp(index)
            np.testing.assert_array_equal(received[1], label, f'frame {index}')
    assert 'no mask within' not in (tmp_path / 'replay.log').read_text()


@pytest.mark.parametrize(('parameters', 'message'), [
    ({'teacher_weights': '/nowhere'}, '/nowhere: expected a folder'),
    ({'max_updates': 8}, "unknown parameter 'max_updates': expected one of classes, device"),
    ({'classes': 'lvs9'}, 'lvs9.yaml')])
def test_what_keeps_it_from_starting_is_named(
    domain_id: int, scene: Scene, tmp_path: Path, parameters: dict[str, object], message: str,
) -> None:
    process = teacher(scene, tmp_path / 'log', **parameters)
    with process:
        assert process._process is not None
        assert process._process.wait(TIMEOUT) == 1
        with pytest.raises(ProcessDied, match=message):
            process.check()
