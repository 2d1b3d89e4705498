# SPDX-License-Identifier: Apache-2.0
"""What the launch files share: nodes of this package and the arguments that every one has."""

from __future__ import annotations

from collections.abc import Mapping
import os
from typing import Any

from launch.actions import DeclareLaunchArgument
from launch.launch_context import LaunchContext
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from shadowtutor_ros.dds import launch_environment

_PACKAGE = 'shadowtutor_ros'
_MANAGED = {'autostart': bool, 'use_sim_time': bool}


def launch_file(name: str) -> PythonLaunchDescriptionSource:
    """Return ``NAME.launch.py`` of the installed package."""
    return PythonLaunchDescriptionSource(_installed('launch', f'{name}.launch.py'))


def node_arguments(name: str, machine: str) -> list[DeclareLaunchArgument]:
    """Return the arguments of ``make_node`` for the node ``name`` on a robot or tutor."""
    return [
        DeclareLaunchArgument('namespace', default_value='',
                              description=f'Namespace of the {machine}'),
        DeclareLaunchArgument('params_file', default_value='',
                              description='YAML file with parameters of the node; '
                                          f'empty: config/{name}.yaml of the package'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
        DeclareLaunchArgument('dds_profile', default_value='',
                              description='fastdds, fastdds-mtu, fastdds-large-data, none or a '
                                          'file; empty: what the environment says, else fastdds'),
    ]


def managed_arguments(name: str, machine: str) -> list[DeclareLaunchArgument]:
    """Return the arguments of ``make_managed_node``."""
    return [
        *node_arguments(name, machine),
        DeclareLaunchArgument('autostart', default_value='',
                              description='Configure and activate at the start: true or false; '
                                          'empty: what params_file says, else true'),
        DeclareLaunchArgument('use_sim_time', default_value='',
                              description='Use the /clock topic: true or false; '
                                          'empty: what params_file says'),
        DeclareLaunchArgument('use_respawn', default_value='false',
                              description='Start the node again when it ends'),
    ]


def tutor_arguments() -> list[DeclareLaunchArgument]:
    """Return the arguments of tutor.launch.py."""
    return [
        *managed_arguments('tutor', 'tutor'),
        DeclareLaunchArgument('dashboard', default_value='false',
                              description='Serve a web page that shows robots and lessons'),
        DeclareLaunchArgument('dashboard_port', default_value='8080',
                              description='Port of that page on this machine'),
        DeclareLaunchArgument('teacher', default_value='',
                              description='detectron2, torchvision, yolo or labels; '
                                          'empty: what params_file says, else detectron2'),
        DeclareLaunchArgument('teacher_weights', default_value='',
                              description='A local weight file; for labels their path; empty: '
                                          "the package's own, for yolo what `shadowtutor "
                                          'teacher fetch` has fetched'),
        DeclareLaunchArgument('checkpoint', default_value='',
                              description='First student: default, random or a file; empty: what '
                                          'params_file says, else default, the shipped one'),
        DeclareLaunchArgument('task', default_value='',
                              description='segmentation or detection; empty: what params_file '
                                          'says, else what the first student is for'),
    ]


def student_arguments() -> list[DeclareLaunchArgument]:
    """Return the arguments of student.launch.py."""
    return [
        *managed_arguments('student', 'robot'),
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
        DeclareLaunchArgument('share', default_value='',
                              choices=['', 'off', 'frames', 'pipeline', 'auto'],
                              description='How helpers work on the frames, too; empty: what '
                                          'params_file says, else off, with helpers auto'),
    ]


def helper_arguments() -> list[DeclareLaunchArgument]:
    """Return the arguments of helper.launch.py."""
    return [
        *managed_arguments('helper', 'robot'),
        DeclareLaunchArgument('helper_name', default_value='helper',
                              description='Name of the node, another one for each of a robot'),
        DeclareLaunchArgument('robot', default_value='',
                              description='Full name of the student node whose frames it works '
                                          'on; empty: what params_file says, else /student'),
    ]


def replay_arguments() -> list[DeclareLaunchArgument]:
    """Return the arguments of replay.launch.py."""
    return [
        DeclareLaunchArgument('source',
                              description='Video file, folder of images, rosbag, or camera index'),
        DeclareLaunchArgument('topic', default_value='',
                              description='Image topic of a rosbag; empty: what params_file '
                                          'says, else its only camera'),
        *node_arguments('replay', 'robot'),
        DeclareLaunchArgument('loop', default_value='', choices=['', 'true', 'false'],
                              description='Begin again at the end; empty: what params_file says'),
        DeclareLaunchArgument('clock', default_value='', choices=['', 'true', 'false'],
                              description='true: publish /clock and media stamps, for nodes '
                                          'with use_sim_time; empty: what params_file says'),
        DeclareLaunchArgument('stamps', default_value='', choices=['', 'now', 'media'],
                              description='now: of the clock; media: frame index / fps; empty: '
                                          'media with clock, else what params_file says'),
        DeclareLaunchArgument('image', default_value='camera/image_raw',
                              description='Topic to publish on; relative to the namespace '
                                          'without a leading slash'),
        DeclareLaunchArgument('mask', default_value='student/mask',
                              description='Mask topic that pace lockstep waits for'),
    ]


def shared_arguments() -> list[DeclareLaunchArgument]:
    """Return all arguments of the three but those that are each robot's own."""
    own = {
        'namespace', 'source',
        'params_file',  # whose description names one node
    }
    found = {argument.name: argument
             for argument in (*replay_arguments(), *student_arguments(), *tutor_arguments())
             if argument.name not in own}
    return [
        *found.values(),
        DeclareLaunchArgument('params_file', default_value='',
                              description='YAML file with parameters of all nodes; empty: each '
                                          'its own, config/NODE.yaml of the package'),
    ]


def make_node(
    context: LaunchContext, name: str, parameters: Mapping[str, Any],
    node_name: str | None = None, **more: Any,
) -> Node:
    """Return the node ``name``, whose ``parameters`` override params_file."""
    profile = LaunchConfiguration('dds_profile').perform(context)
    overriding = [dict(parameters)] if parameters else []
    params_file = (LaunchConfiguration('params_file').perform(context)
                   or _installed('config', f'{name}.yaml'))
    return Node(
        package=_PACKAGE, executable=f'{name}_node', name=node_name or name, output='screen',
        namespace=LaunchConfiguration('namespace'),
        parameters=[params_file, *overriding],
        additional_env=launch_environment(profile, os.environ),
        arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')], **more)


def make_managed_node(
    context: LaunchContext, name: str, parameters: Mapping[str, type], **more: Any,
) -> Node:
    """Return the node ``name``; ``parameters`` are the arguments that are parameters of it."""
    return make_node(
        context, name, given(context, {**_MANAGED, **parameters}),
        respawn=LaunchConfiguration('use_respawn'), respawn_delay=2.0, **more)


def given(context: LaunchContext, parameters: Mapping[str, type]) -> dict[str, ParameterValue]:
    """Return those parameters, by name and type, whose launch argument is not empty."""
    return {name: ParameterValue(LaunchConfiguration(name), value_type=kind)
            for name, kind in parameters.items() if LaunchConfiguration(name).perform(context)}


def image_remappings() -> list[tuple[str, Any]]:
    """Return what leads a node's ``image``, raw and compressed, to the argument ``image``."""
    image = LaunchConfiguration('image')
    return [('image', image), ('image/compressed', [image, '/compressed'])]


def _installed(*path: str) -> PathJoinSubstitution:
    return PathJoinSubstitution([FindPackageShare(_PACKAGE), *path])
