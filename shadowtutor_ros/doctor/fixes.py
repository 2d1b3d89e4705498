# SPDX-License-Identifier: Apache-2.0
"""Commands that work on this machine."""

from __future__ import annotations

from pathlib import Path
import shutil
import sys
import sysconfig


def start(node: str, image: str = '', **parameters: str) -> str:
    """
    Return the command for ``node``: student, tutor or replay. ROS from wheels has no ``ros2``.

    ``image`` is the camera's topic, ``parameters`` are both the node's and its launch file's.
    """
    if shutil.which('ros2'):
        given = ([f'image:={image}'] if image else []) + [
            f'{name}:={value}' for name, value in parameters.items()]
        return ' '.join(['ros2 launch shadowtutor_ros', f'{node}.launch.py', *given])
    given = ([f'-r image:={image}'] if image else []) + [
        f'-p {name}:={value}' for name, value in parameters.items()]
    return ' '.join([f'{node}_node', *(['--ros-args'] if given else []), *given])


def subcommand(words: str) -> str:
    """Return the command for ``shadowtutor``, which a workspace does not put on the path."""
    runner = '' if shutil.which('shadowtutor') else 'ros2 run shadowtutor_ros '
    return f'{runner}shadowtutor {words}'


def pip(requirements: str, managed: bool | None = None) -> str:
    """
    Return the command that installs ``requirements`` into the Python that runs.

    ``managed``: the distribution keeps pip out of it; default: as it is here.
    """
    if managed is None:
        marker = Path(sysconfig.get_path('stdlib'), 'EXTERNALLY-MANAGED')
        managed = sys.prefix == sys.base_prefix and marker.is_file()
    option = ' --user --break-system-packages' if managed else ''
    return f'{sys.executable} -m pip install{option} {requirements}'
