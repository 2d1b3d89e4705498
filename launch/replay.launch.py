# SPDX-License-Identifier: Apache-2.0
"""A video in place of a camera."""

from launch.actions import OpaqueFunction
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from shadowtutor_ros.launching import given, image_remappings, make_node, replay_arguments


def replay(context: LaunchContext) -> list[Node]:
    """Return the node."""
    value = LaunchConfiguration
    parameters = {'source': ParameterValue(value('source'), value_type=str),
                  **given(context, {'topic': str, 'loop': bool, 'clock': bool, 'stamps': str})}
    if value('clock').perform(context) == 'true':
        parameters.setdefault('stamps', 'media')
    return [make_node(context, 'replay', parameters,
                      remappings=[*image_remappings(), ('mask', value('mask'))])]


def generate_launch_description() -> LaunchDescription:
    """Return one replay node with its arguments."""
    return LaunchDescription([
        *replay_arguments(),
        OpaqueFunction(function=replay),
    ])
