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
        DeclareLaunchArgument('params_file', default_value=_installed('config', f'{name}.yaml'),
                              description='YAML file with parameters of the node'),
        DeclareLaunchArgument('log_level', default_value='info',
                              description='debug, info, warn, error or fatal'),
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
        DeclareLaunchArgument('dds_profile', default_value='',
                              description='fastdds, fastdds-mtu, fastdds-large-data, none or a '
                                          'file; empty: what the environment says, else fastdds'),
        DeclareLaunchArgument('use_respawn', default_value='false',
                              description='Start the node again when it ends'),
    ]


def make_node(name: str, parameters: Mapping[str, Any], **more: Any) -> Node:
    """Return the node ``name``, whose ``parameters`` override params_file."""
    overriding = [dict(parameters)] if parameters else []
    return Node(
        package=_PACKAGE, executable=f'{name}_node', name=name, output='screen',
        namespace=LaunchConfiguration('namespace'),
        parameters=[LaunchConfiguration('params_file'), *overriding],
        arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')], **more)


def make_managed_node(
    context: LaunchContext, name: str, parameters: Mapping[str, type], **more: Any,
) -> Node:
    """Return the node ``name``; ``parameters`` are the arguments that are parameters of it."""
    profile = LaunchConfiguration('dds_profile').perform(context)
    return make_node(
        name, given(context, {**_MANAGED, **parameters}),
        respawn=LaunchConfiguration('use_respawn'), respawn_delay=2.0,
        additional_env=launch_environment(profile, os.environ), **more)


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
