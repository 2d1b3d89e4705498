# SPDX-License-Identifier: Apache-2.0
"""What the values of a mask mean, for whoever comes, whenever they come."""

from __future__ import annotations

from rclpy.node import Node
from shadowtutor_msgs.msg import ClassMap
from std_msgs.msg import Header

from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.toolkit.topics import publisher

try:  # not on every robot
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None


class LabelInfoTopics:
    """``~/class_map``, and ``~/label_info`` where vision_msgs is installed."""

    def __init__(self, node: Node) -> None:
        self._clock = node.get_clock()
        self._class_map = publisher(node, ClassMap, '~/class_map', qos.STATE)
        self._label_info = (
            None if LabelInfo is None else publisher(node, LabelInfo, '~/label_info', qos.STATE))

    def publish(self, info: StudentInfo) -> None:
        """Publish once: both are transient local, as vision_msgs asks for."""
        header = Header(stamp=self._clock.now().to_msg())
        self._class_map.publish(ClassMap(
            header=header, class_names=list(info.class_names),
            colours=[part for colour in info.class_colours for part in colour]))
        if self._label_info is not None:
            self._label_info.publish(LabelInfo(
                header=header, class_map=[
                    VisionClass(class_id=index, class_name=name)
                    for index, name in enumerate(info.class_names)]))
