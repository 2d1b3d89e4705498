# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import time

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from scene import Scene
from sensor_msgs.msg import Image

from shadowtutor_ros.bag.writer import write_bag
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.wire.images import image_to_bgr
from shadowtutor_ros.wire.messages import stamp_from_msg

pytestmark = pytest.mark.ros


def test_a_rosbag_is_replayed_frame_by_frame(
    tmp_path: Path, scene: Scene, domain_id: int,
) -> None:
    count = 5
    write_bag(tmp_path / 'bag', scene.frames, scene.fps)
    images: list[Image] = []
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('viewer', context=context)
    node.create_subscription(Image, '/camera', images.append, qos.REPLAY)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    # Without masks, lockstep waits for a viewer and then sends a frame each mask_timeout.
    parameters = {'source': str(tmp_path / 'bag'), 'stamps': 'media', 'pace': 'lockstep',
                  'mask_timeout': 0.1, 'frames': count}
    with NodeProcess('replay_node', parameters, tmp_path / 'log', {'image': '/camera'}):
        deadline = time.monotonic() + 60.0
        while len(images) < count and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.1)
    node.destroy_node()
    rclpy.shutdown(context=context)
    assert [stamp_from_msg(image.header.stamp) for image in images] == [
        scene.stamp(index) for index in range(count)]
    for image, frame in zip(images, scene.frames):
        np.testing.assert_array_equal(image_to_bgr(image), frame)
