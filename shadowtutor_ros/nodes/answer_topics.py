# SPDX-License-Identifier: Apache-2.0
"""What turns a student's answers into messages, by the name of its task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from rclpy.node import Node
from std_msgs.msg import Header

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes.mask_topics import MaskTopics
from shadowtutor_ros.tasks.table import SEGMENTATION


class AnswerTopics(Protocol):
    """The topics of one task, which exist from the node's start."""

    def publish(
        self, header: Header, frame: Frame, answer: Any, info: StudentInfo, opacity: float,
    ) -> None:
        """Publish the task's answer to the HxWx3 BGR uint8 ``frame``; ``opacity`` is 0-1."""
        ...


ANSWER_TOPICS: Mapping[str, Callable[[Node], AnswerTopics]] = {SEGMENTATION: MaskTopics}
