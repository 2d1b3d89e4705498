# SPDX-License-Identifier: Apache-2.0
"""The answers of detection as topics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from std_msgs.msg import Header

from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.overlay_topics import OverlayTopics
from shadowtutor_ros.nodes.toolkit.topics import publisher
from shadowtutor_ros.overlay import outline
from shadowtutor_ros.tasks.detection.boxes import Boxes, boxes_of
from shadowtutor_ros.wire.camera_picture import CameraPicture

try:  # not on every robot: the fields of ours have the same names
    from vision_msgs import msg as messages
except ImportError:
    from shadowtutor_msgs import msg as messages


class DetectionTopics:
    """
    ``~/detections`` and, made only while somebody subscribes, the overlay.

    Both have the header of their image, so that they synchronise exactly.
    """

    def __init__(self, node: Node, overlays: OverlayTopics) -> None:
        self._detections = publisher(node, messages.Detection2DArray, '~/detections', qos.PICTURE)
        self._overlays = overlays

    def publish(
        self, header: Header, picture: CameraPicture, answer: NDArray[np.float32],
        info: StudentInfo, opacity: float,
    ) -> None:
        """Publish the MOSTx6 ``answer`` to the picture; ``opacity`` 0-1."""
        boxes = boxes_of(answer)
        self._detections.publish(detections_to_msg(boxes, info.class_names, header))
        if self._overlays.wanted:
            self._overlays.publish(header, outline(
                picture.frame(), boxes.corners, boxes.ids, _captions(boxes, info.class_names),
                info.class_colours, opacity))


def detections_to_msg(boxes: Boxes, names: tuple[str, ...], header: Header) -> Any:
    """Return the Detection2DArray of ``boxes``, which has a class name for each."""
    return messages.Detection2DArray(header=header, detections=[
        messages.Detection2D(
            header=header,
            results=[messages.ObjectHypothesisWithPose(hypothesis=messages.ObjectHypothesis(
                class_id=names[class_id], score=score))],
            bbox=messages.BoundingBox2D(
                center=messages.Pose2D(position=messages.Point2D(
                    x=(x1 + x2) / 2, y=(y1 + y2) / 2)),
                size_x=x2 - x1, size_y=y2 - y1))
        for (x1, y1, x2, y2), score, class_id in zip(*(part.tolist() for part in boxes))])


def _captions(boxes: Boxes, names: tuple[str, ...]) -> list[str]:
    return [f'{names[class_id]} {100 * score:.0f} %'
            for score, class_id in zip(boxes.scores, boxes.ids)]
