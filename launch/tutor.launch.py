# SPDX-License-Identifier: Apache-2.0
"""The tutor node on a server."""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description():
    """Return one tutor node with its arguments."""
    value = LaunchConfiguration
    default_parameters = PathJoinSubstitution(
        [FindPackageShare('shadowtutor_ros'), 'config', 'tutor.yaml'])
    return LaunchDescription([
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the tutor'),
        DeclareLaunchArgument('params_file', default_value=default_parameters,
                              description='Parameters of the tutor node'),
        DeclareLaunchArgument('use_sim_time', default_value='false',
                              description='Use the /clock topic'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
        DeclareLaunchArgument('use_respawn', default_value='false',
                              description='Start the node again when it ends'),
        DeclareLaunchArgument('teacher', default_value='detectron2',
                              description='detectron2, torchvision, yolo or labels'),
        DeclareLaunchArgument('teacher_weights', default_value='',
                              description='Weights of yolo, or the label maps of labels'),
        Node(
            package='shadowtutor_ros', executable='tutor_node', name='tutor',
            namespace=value('namespace'), output='screen',
            respawn=value('use_respawn'), respawn_delay=2.0,
            parameters=[value('params_file'),
                        {'use_sim_time': value('use_sim_time'), 'teacher': value('teacher'),
                         'teacher_weights': value('teacher_weights')}],
            arguments=['--ros-args', '--log-level', value('log_level')]),
    ])
