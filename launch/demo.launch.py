# SPDX-License-Identifier: Apache-2.0
"""Replay, student and tutor on one machine."""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

ARGUMENTS = {
    'replay': ('source', 'log_level'),
    'student': ('log_level',),
    'tutor': ('teacher', 'teacher_weights', 'log_level'),
}


def generate_launch_description():
    """Return the three launch files with the arguments that matter here."""
    def include(name):
        return IncludeLaunchDescription(
            PythonLaunchDescriptionSource(PathJoinSubstitution(
                [FindPackageShare('shadowtutor_ros'), 'launch', f'{name}.launch.py'])),
            launch_arguments=[(argument, LaunchConfiguration(argument))
                              for argument in ARGUMENTS[name]])

    return LaunchDescription([
        DeclareLaunchArgument('source',
                              description='Video file, folder of images, or camera index'),
        DeclareLaunchArgument('teacher', default_value='yolo',
                              description='detectron2, torchvision, yolo or labels'),
        DeclareLaunchArgument('teacher_weights', default_value='',
                              description='Weights of yolo, or the label maps of labels'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
        *map(include, ARGUMENTS),
    ])
