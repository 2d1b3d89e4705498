# SPDX-License-Identifier: Apache-2.0
"""What the values of a mask mean, for whoever comes, whenever they come."""

from __future__ import annotations

from rclpy.node import Node
from shadowtutor_msgs.msg import ClassMap
from std_msgs.msg import Header

from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes import qos

try:  # not on every robot
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None


def publish_label_info(node: Node, info: StudentInfo) -> None:
    """
    Publish ``~/class_map``, and ``~/label_info`` where vision_msgs is installed.

    Once is enough: both are transient local, as vision_msgs asks for.
    """
    header = Header(stamp=node.get_clock().now().to_msg())
    node.create_publisher(ClassMap, '~/class_map', qos.STATE).publish(ClassMap(
        header=header, class_names=list(info.class_names),
        colours=[part for colour in info.class_colours for part in colour]))
    if LabelInfo is not None:
        node.create_publisher(LabelInfo, '~/label_info', qos.STATE).publish(LabelInfo(
            header=header, class_map=[
                VisionClass(class_id=index, class_name=name)
                for index, name in enumerate(info.class_names)]))
