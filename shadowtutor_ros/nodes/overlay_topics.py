# SPDX-License-Identifier: Apache-2.0
"""Pictures with an answer painted on them, whatever the task."""

from __future__ import annotations

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.toolkit.topics import compressed_topic, publisher
from shadowtutor_ros.wire.images import compressed_from_array, image_from_array
from shadowtutor_ros.wire.key_frame import JPEG


class OverlayTopics:
    """``~/overlay`` and the same compressed, for whoever subscribes."""

    def __init__(self, node: Node) -> None:
        self._raw = publisher(node, Image, '~/overlay', qos.PICTURE)
        self._jpeg = publisher(
            node, CompressedImage, compressed_topic(node, '~/overlay'), qos.PICTURE)

    @property
    def wanted(self) -> bool:
        """Whether somebody subscribes: a picture need not be painted for nobody."""
        return bool(self._raw.get_subscription_count() or self._jpeg.get_subscription_count())

    def publish(self, header: Header, painted: Frame) -> None:
        """Publish an HxWx3 BGR uint8 picture with the header of its image."""
        if self._raw.get_subscription_count():
            self._raw.publish(image_from_array(painted[..., ::-1], 'rgb8', header))
        if self._jpeg.get_subscription_count():
            self._jpeg.publish(compressed_from_array(painted, JPEG, header))
