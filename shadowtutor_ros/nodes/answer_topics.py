# SPDX-License-Identifier: Apache-2.0
"""What turns a student's answers into messages, by the name of its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rclpy.node import Node
from std_msgs.msg import Header

from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes.detection_topics import DetectionTopics
from shadowtutor_ros.nodes.mask_topics import MaskTopics
from shadowtutor_ros.nodes.overlay_topics import OverlayTopics
from shadowtutor_ros.tasks.table import DETECTION, SEGMENTATION
from shadowtutor_ros.wire.camera_picture import CameraPicture


class AnswerTopics(Protocol):
    """The topics of one task, which exist from the node's start."""

    def publish(
        self, header: Header, picture: CameraPicture, answer: Any, info: StudentInfo,
        opacity: float,
    ) -> None:
        """Publish the task's answer to the picture; ``opacity`` is 0-1."""
        ...


ANSWER_TOPICS: Mapping[str, Callable[[Node, OverlayTopics], AnswerTopics]] = {
    SEGMENTATION: MaskTopics, DETECTION: DetectionTopics}


def answer_topics(node: Node) -> dict[str, AnswerTopics]:
    """Create the topics of all tasks, by the task's name: what a tutor teaches is seen later."""
    overlays = OverlayTopics(node)
    return {task: topics(node, overlays) for task, topics in ANSWER_TOPICS.items()}
