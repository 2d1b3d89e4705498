# SPDX-License-Identifier: Apache-2.0
"""The student node on a robot."""

import os

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription
from shadowtutor_ros.dds import launch_environment

# These arguments are parameters of the node: if given, they override params_file.
PARAMETERS = {'autostart': bool, 'use_sim_time': bool, 'tutor': str, 'goal_timeout': float}


def student(context: LaunchContext) -> list[Node]:
    """Return the node."""
    value = LaunchConfiguration
    given = [{name: ParameterValue(value(name), value_type=kind)}
             for name, kind in PARAMETERS.items() if value(name).perform(context)]
    return [Node(
        package='shadowtutor_ros', executable='student_node', name='student',
        namespace=value('namespace'), output='screen',
        respawn=value('use_respawn'), respawn_delay=2.0,
        parameters=[value('params_file'), *given],
        additional_env=launch_environment(value('dds_profile').perform(context), os.environ),
        remappings=[('image', value('image')),
                    ('image/compressed', [value('image'), '/compressed'])],
        arguments=['--ros-args', '--log-level', value('log_level')])]


def generate_launch_description() -> LaunchDescription:
    """Return one student node with its arguments."""
    default_parameters = PathJoinSubstitution(
        [FindPackageShare('shadowtutor_ros'), 'config', 'student.yaml'])
    return LaunchDescription([
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the robot'),
        DeclareLaunchArgument('params_file', default_value=default_parameters,
                              description='YAML file with parameters of the node'),
        DeclareLaunchArgument('autostart', default_value='',
                              description='Configure and activate at the start: true or false; '
                                          'empty: what params_file says, else true'),
        DeclareLaunchArgument('use_sim_time', default_value='',
                              description='Use the /clock topic: true or false; '
                                          'empty: what params_file says'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
        DeclareLaunchArgument('dds_profile', default_value='',
                              description='fastdds, fastdds-mtu, fastdds-large-data, none or a '
                                          'file; empty: what the environment says, else fastdds'),
        DeclareLaunchArgument('use_respawn', default_value='false',
                              description='Start the node again when it ends'),
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
