# SPDX-License-Identifier: Apache-2.0
"""Replay, student and tutor on one machine without a GPU."""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Return bringup.launch.py with other defaults; it takes all arguments."""
    return LaunchDescription([
        DeclareLaunchArgument('source',
                              description='Video file, folder of images, rosbag, or camera index'),
        DeclareLaunchArgument('teacher', default_value='yolo',
                              description='detectron2, torchvision, yolo or labels'),
        DeclareLaunchArgument('teacher_weights', default_value='',
                              description='Weights of yolo, or the label maps of labels'),
        DeclareLaunchArgument('goal_timeout', default_value='60.0',
                              description='Seconds until a key frame without an answer has '
                                          'failed; without a GPU the first takes long'),
        IncludeLaunchDescription(PythonLaunchDescriptionSource(PathJoinSubstitution(
            [FindPackageShare('shadowtutor_ros'), 'launch', 'bringup.launch.py']))),
    ])
