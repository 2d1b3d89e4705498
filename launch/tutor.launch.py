# SPDX-License-Identifier: Apache-2.0
"""The tutor node on a server."""

import os

from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription
from shadowtutor_ros.dds import launch_environment

# These arguments are parameters of the node: if given, they override params_file.
PARAMETERS = {'autostart': bool, 'use_sim_time': bool, 'teacher': str, 'teacher_weights': str}


def tutor(context: LaunchContext) -> list[Node]:
    """Return the node."""
    value = LaunchConfiguration
    given = [{name: ParameterValue(value(name), value_type=kind)}
             for name, kind in PARAMETERS.items() if value(name).perform(context)]
    return [Node(
        package='shadowtutor_ros', executable='tutor_node', name='tutor',
        namespace=value('namespace'), output='screen',
        respawn=value('use_respawn'), respawn_delay=2.0,
        parameters=[value('params_file'), *given],
        additional_env=launch_environment(value('dds_profile').perform(context), os.environ),
        arguments=['--ros-args', '--log-level', value('log_level')])]


def generate_launch_description() -> LaunchDescription:
    """Return one tutor node with its arguments."""
    default_parameters = PathJoinSubstitution(
        [FindPackageShare('shadowtutor_ros'), 'config', 'tutor.yaml'])
    return LaunchDescription([
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the tutor'),
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
        DeclareLaunchArgument('dashboard', default_value='false',
                              description='Serve a web page that shows robots and lessons'),
        DeclareLaunchArgument('dashboard_port', default_value='8080',
                              description='Port of that page on this machine'),
        DeclareLaunchArgument('teacher', default_value='',
                              description='detectron2, torchvision, yolo or labels; '
                                          'empty: what params_file says, else detectron2'),
        DeclareLaunchArgument('teacher_weights', default_value='',
                              description='Weights of yolo, or the label maps of labels'),
        OpaqueFunction(function=tutor),
        Node(package='shadowtutor_ros', executable='dashboard_node', name='dashboard',
             output='screen', condition=IfCondition(LaunchConfiguration('dashboard')),
             parameters=[{'port': ParameterValue(LaunchConfiguration('dashboard_port'),
                                                 value_type=int)}]),
    ])
