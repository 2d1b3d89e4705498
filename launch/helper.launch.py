# SPDX-License-Identifier: Apache-2.0
"""The helper node on a further device of a robot."""

from launch.actions import OpaqueFunction
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from launch import LaunchDescription
from shadowtutor_ros.launching import helper_arguments, make_managed_node


def helper(context: LaunchContext) -> list[Node]:
    """Return the node."""
    return [make_managed_node(context, 'helper', {'robot': str},
                              node_name=LaunchConfiguration('helper_name').perform(context))]


def generate_launch_description() -> LaunchDescription:
    """Return one helper node with its arguments."""
    return LaunchDescription([
        *helper_arguments(),
        OpaqueFunction(function=helper),
    ])
