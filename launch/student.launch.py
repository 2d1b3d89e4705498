# SPDX-License-Identifier: Apache-2.0
"""The student node on a robot."""

from launch.actions import OpaqueFunction
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from launch import LaunchDescription
from shadowtutor_ros.launching import image_remappings, make_managed_node, student_arguments


def student(context: LaunchContext) -> list[Node]:
    """Return the node."""
    return [make_managed_node(
        context, 'student', {'tutor': str, 'goal_timeout': float, 'share': str},
        remappings=image_remappings())]


def generate_launch_description() -> LaunchDescription:
    """Return one student node with its arguments."""
    return LaunchDescription([
        *student_arguments(),
        OpaqueFunction(function=student),
    ])
