# SPDX-License-Identifier: Apache-2.0
"""DDS profiles: those that are shipped, and the one that is really in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path
import sys
from xml.etree import ElementTree

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.share import config_folder

NONE, CUSTOM = 'none', 'custom'
PROFILES = ('fastdds', 'fastdds-mtu', 'fastdds-large-data', NONE)

FASTDDS, CYCLONEDDS, ZENOH = 'rmw_fastrtps_cpp', 'rmw_cyclonedds_cpp', 'rmw_zenoh_cpp'
_FASTDDS_2, _FASTDDS_3 = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
_CYCLONEDDS, _ZENOH = 'CYCLONEDDS_URI', 'ZENOH_SESSION_CONFIG_URI'
_VARIABLES = (_FASTDDS_2, _FASTDDS_3, _CYCLONEDDS, _ZENOH)
# By version of Fast DDS: what it reads, first come first served, and the element that it expects.
# Version 3 refuses a file for version 2 as a whole.
_READ = {2: (_FASTDDS_2,), 3: (_FASTDDS_3, _FASTDDS_2)}
_HEARTBEAT = {2: 'heartbeatPeriod', 3: 'heartbeat_period'}
_TRANSPORTS, _TCP = 'FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA'
_FASTDDS_HEARTBEAT = 3.0  # seconds, without a profile
_SLOW = 0.2  # seconds: a lost goal would be noticed


class DdsError(ShadowTutorError):
    """There is no such DDS profile."""


@dataclass(frozen=True)
class Profile:
    """
    What is in force: ``name`` of a shipped file, ``custom`` or ``none``, and its ``path``.

    ``heartbeat`` is the seconds after which a writer repeats a lost message, None where that is
    not known or TCP repeats it; ``problem`` says why a variable that is set has no effect.
    """

    name: str
    path: Path | None = None
    heartbeat: float | None = None
    problem: str = ''


def profile_environment(
    name: str, environment: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """
    Return the variables that choose a shipped Fast DDS profile; none for ``none``.

    ``environment`` tells which version of Fast DDS runs. Raise DdsError for another name.
    """
    if name == NONE:
        return {}
    if name not in PROFILES:
        raise DdsError(f'DDS profile: expected one of {", ".join(PROFILES)}, got {name!r}')
    newest = name == 'fastdds' and _fastdds_version(environment) == 3
    variable, file = (_FASTDDS_3, 'fastdds3') if newest else (_FASTDDS_2, name)
    return {'RMW_IMPLEMENTATION': FASTDDS, variable: str(config_folder() / 'dds' / f'{file}.xml')}


def launch_environment(wanted: str, environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables to add for a launch argument: a profile's name or the path of a file.

    Empty: the recommended profile, unless ``environment`` has a choice of its own.
    """
    if not wanted:
        own = any(map(environment.get, (*_VARIABLES, _TRANSPORTS)))
        rmw = environment.get('RMW_IMPLEMENTATION') or FASTDDS
        wanted = NONE if own or not rmw.startswith('rmw_fastrtps') else 'fastdds'
    elif wanted == NONE:
        return {name: '' for name in (_FASTDDS_2, _FASTDDS_3) if environment.get(name)}
    elif Path(wanted).is_file():
        return {_READ[_fastdds_version(environment)][0]: wanted}
    return profile_environment(wanted, environment)


def active_profile(rmw: str, environment: Mapping[str, str] = os.environ) -> Profile:
    """
    Return the profile that a process with this middleware and environment has.

    Fast DDS goes on with its defaults when the file is missing or broken: it is read here too.
    """
    fast = rmw.startswith('rmw_fastrtps')
    version = _fastdds_version(environment)
    variables = _READ[version] if fast else {CYCLONEDDS: (_CYCLONEDDS,), ZENOH: (_ZENOH,)}.get(
        rmw, ())
    tcp = environment.get(_TRANSPORTS, '').startswith(_TCP)
    heartbeat = _FASTDDS_HEARTBEAT if fast and not tcp else None
    given = next(filter(None, map(environment.get, variables)), '')
    if not given:
        idle = next(filter(environment.get, _VARIABLES), '')
        reader = f'Fast DDS {version}' if fast else rmw
        problem = f'{idle} is set, but {reader} does not read it' if idle else ''
        return Profile(NONE, None, heartbeat, problem)
    if given.lstrip().startswith('<'):  # Cyclone DDS takes the configuration itself, too
        return Profile(CUSTOM)
    path = Path(given.removeprefix('file://'))
    if not fast:
        return Profile(_name(path), path, None, '' if path.is_file() else f'{path} is no file')
    try:
        period = _heartbeat(path, _HEARTBEAT[version])
    except (OSError, ElementTree.ParseError, ValueError) as error:
        return Profile(NONE, path, heartbeat, f'{path} cannot be read: {error}')
    return Profile(_name(path), path, None if tcp else period)


def advice(profile: Profile) -> str | None:
    """Return what a node should warn about; None when lost messages are repeated soon."""
    if profile.heartbeat is None or profile.heartbeat <= _SLOW:
        return profile.problem or None
    reason = profile.problem or (
        'Fast DDS runs with its defaults' if profile.name == NONE else f'{profile.path} is slow')
    return (f'{reason}: every lost message costs up to {profile.heartbeat:g} s, every large one '
            'may be lost as a whole. On a link that loses packets launch with '
            f'dds_profile:=fastdds, or source {config_folder()}/dds/fastdds.env in both shells.')


def ros_prefixes(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """
    Return where ROS is installed: the prefixes of AMENT_PREFIX_PATH, and last that of this Python.

    There ROS is where it is from wheels: whoever only activates that environment has no variable.
    """
    sourced = filter(None, environment.get('AMENT_PREFIX_PATH', '').split(':'))
    return [*map(Path, sourced), Path(sys.prefix)]


def _name(path: Path) -> str:
    shipped = path.parent.resolve() == (config_folder() / 'dds').resolve()
    return path.stem if shipped else CUSTOM


def _fastdds_version(environment: Mapping[str, str]) -> int:
    """Return the version in the first prefix that has one: 3 renamed the library."""
    for prefix in ros_prefixes(environment):
        for library, version in (('fastrtps', 2), ('fastdds', 3)):
            if any((prefix / 'lib').glob(f'lib{library}.so*')):
                return version
    return 2


def _heartbeat(path: Path, element: str) -> float | None:
    """Return the heartbeat period of a file's default writer in seconds; None for TCP."""
    root = ElementTree.parse(path).getroot()
    if any(_TCP in (kind.text or '') for kind in root.findall('.//{*}builtinTransports')):
        return None
    seconds = _FASTDDS_HEARTBEAT
    for writer in root.findall('.//{*}data_writer'):
        period = writer.find(f'{{*}}times/{{*}}{element}')
        if writer.get('is_default_profile') == 'true' and period is not None:
            seconds = (float(period.findtext('{*}sec', '0'))
                       + 1e-9 * float(period.findtext('{*}nanosec', '0')))
    return seconds
