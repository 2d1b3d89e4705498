# SPDX-License-Identifier: Apache-2.0
"""The student node on a robot."""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description():
    """Return one student node with its arguments."""
    value = LaunchConfiguration
    default_parameters = PathJoinSubstitution(
        [FindPackageShare('shadowtutor_ros'), 'config', 'student.yaml'])
    return LaunchDescription([
        DeclareLaunchArgument('namespace', default_value='', description='Namespace of the robot'),
        DeclareLaunchArgument('params_file', default_value=default_parameters,
                              description='Parameters of the student node'),
        DeclareLaunchArgument('use_sim_time', default_value='false',
                              description='Use the /clock topic'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
        DeclareLaunchArgument('use_respawn', default_value='false',
                              description='Start the node again when it ends'),
        DeclareLaunchArgument('image', default_value='/camera/image_raw',
                              description='Camera topic (sensor_msgs/Image); '
                                          'with image_transport compressed its base name'),
        DeclareLaunchArgument('tutor', default_value='/tutor',
                              description='Full name of the tutor node'),
        Node(
            package='shadowtutor_ros', executable='student_node', name='student',
            namespace=value('namespace'), output='screen',
            respawn=value('use_respawn'), respawn_delay=2.0,
            parameters=[value('params_file'),
                        {'use_sim_time': value('use_sim_time'), 'tutor': value('tutor')}],
            remappings=[('image', value('image')),
                        ('image/compressed', [value('image'), '/compressed'])],
            arguments=['--ros-args', '--log-level', value('log_level')]),
    ])
