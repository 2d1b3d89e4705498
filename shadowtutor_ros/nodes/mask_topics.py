# SPDX-License-Identifier: Apache-2.0
"""The answers of segmentation as topics."""

from __future__ import annotations

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.msg import MaskPolygons
from std_msgs.msg import Header

from shadowtutor_ros.model.student import Mask, StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.overlay_topics import OverlayTopics
from shadowtutor_ros.nodes.toolkit.topics import compressed_topic, publisher
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.images import compressed_from_array, image_from_array, runs_from_mask
from shadowtutor_ros.wire.key_frame import PNG
from shadowtutor_ros.wire.polygon_messages import polygons_from_mask


class MaskTopics:
    """
    ``~/mask`` and, made only while somebody subscribes, ``~/overlay`` and both in other forms.

    All of an image have its header, so that they synchronise exactly.
    """

    def __init__(self, node: Node, overlays: OverlayTopics | None = None) -> None:
        self._mask = publisher(node, Image, '~/mask', qos.PICTURE)
        self._mask_png = publisher(
            node, CompressedImage, compressed_topic(node, '~/mask'), qos.PICTURE)
        self._mask_runs = publisher(
            node, CompressedImage, compressed_topic(node, '~/mask', 'rle'), qos.PICTURE)
        self._polygons = publisher(node, MaskPolygons, '~/polygons', qos.PICTURE)
        self._overlays = overlays or OverlayTopics(node)

    def publish(
        self, header: Header, picture: CameraPicture, mask: Mask, info: StudentInfo,
        opacity: float,
    ) -> None:
        """Publish the HxW uint8 ``mask`` of the picture; ``opacity`` 0-1."""
        self._mask.publish(image_from_array(mask, 'mono8', header))
        if self._mask_png.get_subscription_count():
            self._mask_png.publish(compressed_from_array(mask, PNG, header))
        if self._mask_runs.get_subscription_count():
            self._mask_runs.publish(runs_from_mask(mask, header))
        if self._polygons.get_subscription_count():
            self._polygons.publish(
                polygons_from_mask(mask, len(info.class_names) - 1, header))
        if self._overlays.wanted:
            self._overlays.publish(header, overlay(
                picture.frame(), mask, info.class_colours, opacity))
