# SPDX-License-Identifier: Apache-2.0
"""The DDS profile in force, and the Fast DDS that reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import os
from pathlib import Path
import re

from shadowtutor_ros.dds import advice, Profile, ros_prefixes
from shadowtutor_ros.doctor.finding import Finding, OK, SKIPPED, WARNING
from shadowtutor_ros.share import config_folder

PROFILE, VERSION = 'DDS profile', 'Fast DDS'
_PACKETS = (2, 6, 9)  # the first that keeps messages of services to one packet


def judge_profile(active: Profile) -> Finding:
    """Judge the profile of this shell as a node does at its start."""
    if (text := advice(active)) is not None:
        return Finding(WARNING, PROFILE, text,
                       f'source {config_folder()}/dds/fastdds.env   # ros2 launch does the same')
    return Finding(OK, PROFILE, f'{active.name} {active.path or ""}'.rstrip())


def version(rmw: str, environment: Mapping[str, str] = os.environ) -> Finding:
    """Say which Fast DDS is installed."""
    if not rmw.startswith('rmw_fastrtps'):
        return Finding(SKIPPED, VERSION, f'{rmw} is used')
    return judge_version(
        library_version(ros_prefixes(environment)), environment.get('ROS_DISTRO', ''))


def library_version(prefixes: Iterable[Path]) -> tuple[int, ...]:
    """Return the version of the library in the first of the prefixes that has one, else ()."""
    for prefix in prefixes:
        for path in sorted((prefix / 'lib').glob('libfast*.so.*')):
            if match := re.fullmatch(r'libfast(?:rtps|dds)\.so\.(\d+)\.(\d+)\.(\d+)', path.name):
                return tuple(map(int, match.groups()))
    return ()


def judge_version(found: tuple[int, ...], distro: str) -> Finding:
    """Judge the version of Fast DDS."""
    if not found:
        return Finding(SKIPPED, VERSION, 'no library where ROS is installed')
    text = '.'.join(map(str, found))
    if found < _PACKETS:
        wanted = '.'.join(map(str, _PACKETS))
        return Finding(
            WARNING, VERSION, f'{text}: before {wanted} large requests go in datagrams of 64 kB, '
            'which a lossy link loses as a whole',
            'sudo apt update && sudo apt install --only-upgrade '
            f'ros-{distro or "humble"}-fastrtps')
    return Finding(OK, VERSION, text)
