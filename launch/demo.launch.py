# SPDX-License-Identifier: Apache-2.0
"""Replay, student and tutor on one machine without a GPU."""

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription

from launch import LaunchDescription
from shadowtutor_ros.launching import launch_file


def generate_launch_description() -> LaunchDescription:
    """Return bringup.launch.py with other defaults; it takes all arguments."""
    return LaunchDescription([
        DeclareLaunchArgument('source',
                              description='Video file, folder of images, rosbag, or camera index'),
        DeclareLaunchArgument('teacher', default_value='yolo',
                              description='detectron2, torchvision, yolo or labels'),
        DeclareLaunchArgument('teacher_weights', default_value='',
                              description='A local weight file; for labels their path'),
        DeclareLaunchArgument('goal_timeout', default_value='60.0',
                              description='Seconds until a key frame without an answer has '
                                          'failed; without a GPU the first takes long'),
        IncludeLaunchDescription(launch_file('bringup')),
    ])
