# SPDX-License-Identifier: Apache-2.0
"""Replay, student and tutor on one machine."""

from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def include(name: str, **arguments: SomeSubstitutionsType) -> GroupAction:
    """Return a launch file; the group keeps its defaults, as params_file, from the others."""
    return GroupAction([IncludeLaunchDescription(
        PythonLaunchDescriptionSource(PathJoinSubstitution(
            [FindPackageShare('shadowtutor_ros'), 'launch', f'{name}.launch.py'])),
        launch_arguments=arguments.items())])


def generate_launch_description() -> LaunchDescription:
    """Return the three launch files; arguments that are not declared here go to all of them."""
    return LaunchDescription([
        DeclareLaunchArgument('source',
                              description='Video file, folder of images, rosbag, or camera index'),
        DeclareLaunchArgument('teacher', default_value='yolo',
                              description='detectron2, torchvision, yolo or labels'),
        DeclareLaunchArgument('teacher_weights', default_value='',
                              description='Weights of yolo, or the label maps of labels'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
        DeclareLaunchArgument('dds_profile', default_value='',
                              description='DDS profile of student and tutor, see there'),
        DeclareLaunchArgument('goal_timeout', default_value='60.0',
                              description='Seconds until a key frame without an answer has '
                                          'failed; without a GPU the first takes long'),
        include('replay', source=LaunchConfiguration('source')),
        include('student'),
        include('tutor', namespace=''),
    ])
