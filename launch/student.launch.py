# SPDX-License-Identifier: Apache-2.0
"""The student node on a robot."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_context import LaunchContext
from launch_ros.actions import Node

from launch import LaunchDescription
from shadowtutor_ros.launching import image_remappings, make_managed_node, managed_arguments


def student(context: LaunchContext) -> list[Node]:
    """Return the node."""
    return [make_managed_node(context, 'student', {'tutor': str, 'goal_timeout': float},
                              remappings=image_remappings())]


def generate_launch_description() -> LaunchDescription:
    """Return one student node with its arguments."""
    return LaunchDescription([
        *managed_arguments('student', 'robot'),
        DeclareLaunchArgument('image', default_value='camera/image_raw',
                              description='Camera topic (sensor_msgs/Image), relative to the '
                                          'namespace without a leading slash; with '
                                          'image_transport compressed its base name'),
        DeclareLaunchArgument('tutor', default_value='',
                              description='Full name of the tutor node; '
                                          'empty: what params_file says, else /tutor'),
        DeclareLaunchArgument('goal_timeout', default_value='',
                              description='Seconds until a key frame without an answer has '
                                          'failed; empty: what params_file says, else 10'),
        OpaqueFunction(function=student),
    ])
