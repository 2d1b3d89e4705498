# SPDX-License-Identifier: Apache-2.0
"""A tutor and the students of several robots on one machine, with videos for cameras if wanted."""

from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
)
from launch.launch_context import LaunchContext
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription
from shadowtutor_ros.launching import launch_file, shared_arguments


def include(name: str, **arguments: str) -> GroupAction:
    """Return a launch file; the group keeps its defaults, as params_file, from the others."""
    return GroupAction([IncludeLaunchDescription(
        launch_file(name), launch_arguments=arguments.items())])


def bringup(context: LaunchContext) -> list[GroupAction]:
    """Return the tutor, and per robot a student, its helpers and, with a video, a replay."""
    def words(name: str) -> list[str]:
        return [word for word in LaunchConfiguration(name).perform(context).split(',') if word]

    robots, sources = words('robots') or [''], words('source')
    if len(sources) > len(robots):
        raise ValueError(f'source: expected at most one per robot, {len(robots)}, '
                         f'got {len(sources)}')
    # One clock is enough; the others' frames have media stamps, too.
    clock = LaunchConfiguration('clock', default='').perform(context) == 'true'
    no_clock = {'clock': 'false', 'stamps': 'media'} if clock else {}
    helpers = int(LaunchConfiguration('helpers').perform(context))
    shares = {'share': 'auto'} if helpers and not words('share') else {}
    found = [include('tutor', namespace='')]
    for number, robot in enumerate(robots):
        found.append(include('student', namespace=robot, **shares))
        student = f'/{robot}/student' if robot else '/student'
        found += [include('helper', namespace=robot, robot=student, helper_name=f'helper{each}')
                  for each in range(1, helpers + 1)]
        if sources:
            found.append(include('replay', namespace=robot,
                                 source=sources[number % len(sources)],
                                 **(no_clock if number else {})))
    return found


def generate_launch_description() -> LaunchDescription:
    """Return everything; arguments but robots and source go to all launch files."""
    return LaunchDescription([
        DeclareLaunchArgument('robots', default_value='',
                              description='Namespaces of the robots, with commas; '
                                          'empty: one without a namespace'),
        DeclareLaunchArgument('source', default_value='',
                              description='Videos, folders of images or rosbags in place of the '
                                          "robots' cameras, with commas, used in turn; "
                                          'empty: real cameras'),
        DeclareLaunchArgument('helpers', default_value='0',
                              description='Helpers of each robot, as processes of this machine'),
        *shared_arguments(),
        OpaqueFunction(function=bringup),
    ])
