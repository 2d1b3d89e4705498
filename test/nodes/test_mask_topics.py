# SPDX-License-Identifier: Apache-2.0
"""What of a mask nobody listens to is not made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from robots import wait_until
from scene import Scene
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.msg import MaskPolygons

from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes import mask_topics, qos
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.messages import header_to_msg

pytestmark = pytest.mark.ros

TIMEOUT = 30.0
MADE_BY = {
    'mask/compressed': ('compressed_from_array', CompressedImage),
    'mask/rle': ('runs_from_mask', CompressedImage),
    'polygons': ('polygons_from_mask', MaskPolygons),
    'overlay': ('overlay', Image),
    'overlay/compressed': ('overlay', CompressedImage),
}


@pytest.mark.parametrize('topic', MADE_BY)
def test_a_form_is_made_while_somebody_subscribes(
    domain_id: int, info: StudentInfo, scene: Scene, topic: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def note(name: str, make: Callable[..., Any], *args: Any) -> Any:
        made.append(name)
        return make(*args)

    for name in {name for name, _ in MADE_BY.values()}:
        monkeypatch.setattr(mask_topics, name, partial(note, name, getattr(mask_topics, name)))
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('student', context=context)
    try:
        topics = mask_topics.MaskTopics(node)

        def makes() -> list[str]:
            made.clear()
            mask = np.zeros(scene.frames[0].shape[:2], np.uint8)
            topics.publish(header_to_msg(1, 'camera'), CameraPicture.of(scene.frames[0]), mask,
                           info, 0.5)
            return made

        assert not makes()
        name, type_ = MADE_BY[topic]
        subscription = node.create_subscription(
            type_, f'~/{topic}', lambda msg: None, qos.PICTURE)
        wait_until(lambda: bool(makes()), TIMEOUT)
        assert made[0] == name
        assert set(made) <= {name, 'compressed_from_array'}
        node.destroy_subscription(subscription)
        wait_until(lambda: not makes(), TIMEOUT)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
