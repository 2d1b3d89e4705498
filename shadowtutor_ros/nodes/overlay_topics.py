# SPDX-License-Identifier: Apache-2.0
"""Pictures with an answer painted on them, whatever the task."""

from __future__ import annotations

import math
import time

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.toolkit.topics import compressed_topic, publisher
from shadowtutor_ros.wire.images import compressed_from_array, image_from_array
from shadowtutor_ros.wire.key_frame import JPEG

_PREVIEW_PERIOD = 1.0  # seconds
_PREVIEW_WIDTH = 320  # pixels at most


class OverlayTopics:
    """
    ``~/overlay`` and the same compressed, for whoever subscribes.

    ``~/preview`` is the same small and once a second, compressed only: a few kilobytes for those
    who look from afar.
    """

    def __init__(self, node: Node) -> None:
        self._raw = publisher(node, Image, '~/overlay', qos.PICTURE)
        self._jpeg = publisher(
            node, CompressedImage, compressed_topic(node, '~/overlay'), qos.PICTURE)
        self._preview = publisher(
            node, CompressedImage, compressed_topic(node, '~/preview'), qos.PICTURE)
        self._previewed = -math.inf

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for one: a picture need not be painted for nobody."""
        return bool(self._raw.get_subscription_count() or self._jpeg.get_subscription_count()
                    or self._preview_wanted(time.monotonic()))

    def publish(self, header: Header, painted: Frame) -> None:
        """Publish an HxWx3 BGR uint8 picture with the header of its image."""
        if self._raw.get_subscription_count():
            self._raw.publish(image_from_array(painted[..., ::-1], 'rgb8', header))
        if self._jpeg.get_subscription_count():
            self._jpeg.publish(compressed_from_array(painted, JPEG, header))
        if self._preview_wanted(now := time.monotonic()):
            self._previewed = now
            self._preview.publish(compressed_from_array(_small(painted), JPEG, header))

    def _preview_wanted(self, now: float) -> bool:
        return (now >= self._previewed + _PREVIEW_PERIOD
                and bool(self._preview.get_subscription_count()))


def _small(picture: Frame) -> Frame:
    height, width = picture.shape[:2]
    scale = min(1.0, _PREVIEW_WIDTH / width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
