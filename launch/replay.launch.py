# SPDX-License-Identifier: Apache-2.0
"""A video in place of a camera."""

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def replay(context: LaunchContext) -> list[Node]:
    """Return the node."""
    value = LaunchConfiguration
    # If given, they override params_file.
    given: dict[str, object] = {
        name: value(name).perform(context) == 'true'
        for name in ('loop', 'clock') if value(name).perform(context)}
    stamps = value('stamps').perform(context) or ('media' if given.get('clock') else '')
    if stamps:
        given['stamps'] = stamps
    return [Node(
        package='shadowtutor_ros', executable='replay_node', name='replay',
        namespace=value('namespace'), output='screen',
        parameters=[value('params_file'),
                    {'source': ParameterValue(value('source'), value_type=str), **given}],
        remappings=[('image', value('image')),
                    ('image/compressed', [value('image'), '/compressed']),
                    ('mask', value('mask'))],
        arguments=['--ros-args', '--log-level', value('log_level')])]


def generate_launch_description() -> LaunchDescription:
    """Return one replay node with its arguments."""
    default_parameters = PathJoinSubstitution(
        [FindPackageShare('shadowtutor_ros'), 'config', 'replay.yaml'])
    return LaunchDescription([
        DeclareLaunchArgument('source',
                              description='Video file, folder of images, rosbag, or camera index'),
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the robot'),
        DeclareLaunchArgument('params_file', default_value=default_parameters,
                              description='YAML file with parameters of the node'),
        DeclareLaunchArgument('loop', default_value='', choices=['', 'true', 'false'],
                              description='Begin again at the end; empty: what params_file says'),
        DeclareLaunchArgument('clock', default_value='', choices=['', 'true', 'false'],
                              description='true: publish /clock and media stamps, for nodes '
                                          'with use_sim_time; empty: what params_file says'),
        DeclareLaunchArgument('stamps', default_value='', choices=['', 'now', 'media'],
                              description='now: of the clock; media: frame index / fps; empty: '
                                          'media with clock, else what params_file says'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
        DeclareLaunchArgument('image', default_value='camera/image_raw',
                              description='Topic to publish on; relative to the namespace '
                                          'without a leading slash'),
        DeclareLaunchArgument('mask', default_value='student/mask',
                              description='Mask topic that pace lockstep waits for'),
        OpaqueFunction(function=replay),
    ])
