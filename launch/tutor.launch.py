# SPDX-License-Identifier: Apache-2.0
"""The tutor node on a server."""

from launch.actions import OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from shadowtutor_ros.launching import make_managed_node, tutor_arguments


def tutor(context: LaunchContext) -> list[Node]:
    """Return the node."""
    return [make_managed_node(context, 'tutor', dict.fromkeys(
        ('teacher', 'teacher_weights', 'checkpoint', 'task'), str))]


def generate_launch_description() -> LaunchDescription:
    """Return one tutor node with its arguments."""
    return LaunchDescription([
        *tutor_arguments(),
        OpaqueFunction(function=tutor),
        Node(package='shadowtutor_ros', executable='dashboard_node', name='dashboard',
             output='screen', condition=IfCondition(LaunchConfiguration('dashboard')),
             parameters=[{'port': ParameterValue(LaunchConfiguration('dashboard_port'),
                                                 value_type=int)}]),
    ])
