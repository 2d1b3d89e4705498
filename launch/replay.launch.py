# SPDX-License-Identifier: Apache-2.0
"""A video in place of a camera."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from shadowtutor_ros.launching import given, image_remappings, make_node, node_arguments


def replay(context: LaunchContext) -> list[Node]:
    """Return the node."""
    value = LaunchConfiguration
    parameters = {'source': ParameterValue(value('source'), value_type=str),
                  **given(context, {'topic': str, 'loop': bool, 'clock': bool, 'stamps': str})}
    if value('clock').perform(context) == 'true':
        parameters.setdefault('stamps', 'media')
    return [make_node('replay', parameters,
                      remappings=[*image_remappings(), ('mask', value('mask'))])]


def generate_launch_description() -> LaunchDescription:
    """Return one replay node with its arguments."""
    return LaunchDescription([
        DeclareLaunchArgument('source',
                              description='Video file, folder of images, rosbag, or camera index'),
        DeclareLaunchArgument('topic', default_value='',
                              description='Image topic of a rosbag; empty: what params_file '
                                          'says, else its only camera'),
        *node_arguments('replay', 'robot'),
        DeclareLaunchArgument('loop', default_value='', choices=['', 'true', 'false'],
                              description='Begin again at the end; empty: what params_file says'),
        DeclareLaunchArgument('clock', default_value='', choices=['', 'true', 'false'],
                              description='true: publish /clock and media stamps, for nodes '
                                          'with use_sim_time; empty: what params_file says'),
        DeclareLaunchArgument('stamps', default_value='', choices=['', 'now', 'media'],
                              description='now: of the clock; media: frame index / fps; empty: '
                                          'media with clock, else what params_file says'),
        DeclareLaunchArgument('image', default_value='camera/image_raw',
                              description='Topic to publish on; relative to the namespace '
                                          'without a leading slash'),
        DeclareLaunchArgument('mask', default_value='student/mask',
                              description='Mask topic that pace lockstep waits for'),
        OpaqueFunction(function=replay),
    ])
