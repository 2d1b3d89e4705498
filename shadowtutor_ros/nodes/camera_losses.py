# SPDX-License-Identifier: Apache-2.0
"""Images of a camera that do not arrive, and what is said of them."""

from __future__ import annotations

from rclpy.node import Node
from rclpy.subscription import Subscription

from shadowtutor_ros.nodes.toolkit.repeats import Repeats
from shadowtutor_ros.schedule.stamp_gaps import StampGaps


class CameraLosses:
    """What ``node`` misses of its camera, by the gaps in the stamps that it sees."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._gaps = StampGaps()
        self._log = Repeats()

    def see(self, stamp: int) -> None:
        """Take note of an image's stamp in nanoseconds."""
        self._gaps.see(stamp)

    def said(self, camera: Subscription | None) -> str:
        """Return, and log now and then, what is to be said; empty for nothing."""
        if (share := self._gaps.many) is None or camera is None:
            return ''
        text = (f'{share} of the images on {camera.topic_name} do not arrive, as gaps in their '
                'stamps show: docs/dds.md')
        self._log.warn(self._node, text)
        return text
