# SPDX-License-Identifier: Apache-2.0
"""DDS profiles: those that are shipped, and the one that is really in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path
from xml.etree import ElementTree

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.share import config_folder

NONE, CUSTOM = 'none', 'custom'
PROFILES = ('fastdds', 'fastdds-mtu', 'fastdds-large-data', NONE)

FASTDDS, CYCLONEDDS, ZENOH = 'rmw_fastrtps_cpp', 'rmw_cyclonedds_cpp', 'rmw_zenoh_cpp'
# Who reads which variable; Fast DDS renamed its own with version 3.
_VARIABLES = {
    FASTDDS: ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'),
    CYCLONEDDS: ('CYCLONEDDS_URI',),
    ZENOH: ('ZENOH_SESSION_CONFIG_URI',)}
_FASTDDS_HEARTBEAT = 3.0  # seconds, without a profile
_SLOW = 0.2  # seconds: a lost goal would be noticed
_XML = '{http://www.eprosima.com}'


class DdsError(ShadowTutorError):
    """There is no such DDS profile."""


@dataclass(frozen=True)
class Profile:
    """
    What is in force: ``name`` of a shipped file, ``custom`` or ``none``, and its ``path``.

    ``heartbeat`` is the seconds after which a writer repeats a lost message, None where that is
    not known; ``problem`` says why a variable that is set has no effect.
    """

    name: str
    path: Path | None = None
    heartbeat: float | None = None
    problem: str = ''


def profile_environment(name: str) -> dict[str, str]:
    """
    Return the variables that choose a shipped Fast DDS profile; none for ``none``.

    Raise DdsError for another name.
    """
    if name == NONE:
        return {}
    if name not in PROFILES:
        raise DdsError(f'DDS profile: expected one of {", ".join(PROFILES)}, got {name!r}')
    path = str(config_folder() / 'dds' / f'{name}.xml')
    return {'RMW_IMPLEMENTATION': FASTDDS, **dict.fromkeys(_VARIABLES[FASTDDS], path)}


def launch_environment(wanted: str, environment: Mapping[str, str]) -> dict[str, str]:
    """
    Return the variables to add for a launch argument: a profile's name or the path of a file.

    Empty: the recommended profile, unless ``environment`` has a choice of its own.
    """
    if not wanted:
        own = any(environment.get(v) for names in _VARIABLES.values() for v in names)
        rmw = environment.get('RMW_IMPLEMENTATION') or FASTDDS
        return {} if own or not rmw.startswith('rmw_fastrtps') else profile_environment('fastdds')
    files = _VARIABLES[FASTDDS]
    if wanted == NONE:
        return dict.fromkeys(files, '')
    if Path(wanted).is_file():
        return dict.fromkeys(files, wanted)
    return profile_environment(wanted)


def active_profile(rmw: str, environment: Mapping[str, str] = os.environ) -> Profile:
    """
    Return the profile that a process with this middleware and environment has.

    Fast DDS goes on in silence with its defaults when the file is missing or broken: it is read
    here too.
    """
    fast = rmw.startswith('rmw_fastrtps')
    variables = _VARIABLES[FASTDDS] if fast else _VARIABLES.get(rmw, ())
    given = next((environment[v] for v in variables if environment.get(v)), '')
    if not given:
        others = [v for names in _VARIABLES.values() for v in names
                  if v not in variables and environment.get(v)]
        problem = f'{others[0]} is set, but {rmw} does not read it' if others else ''
        return Profile(NONE, None, _FASTDDS_HEARTBEAT if fast else None, problem)
    path = Path(given.removeprefix('file://'))
    if not fast:
        return Profile(_name(path), path, None, '' if path.is_file() else f'{path} is no file')
    try:
        heartbeat = _heartbeat(path)
    except (OSError, ElementTree.ParseError, ValueError) as error:
        return Profile(NONE, path, _FASTDDS_HEARTBEAT, f'{path} cannot be read: {error}')
    return Profile(_name(path), path, heartbeat)


def advice(profile: Profile) -> str | None:
    """Return what a node should warn about; None when lost messages are repeated soon."""
    if profile.heartbeat is None or profile.heartbeat <= _SLOW:
        return profile.problem or None
    reason = profile.problem or (
        'Fast DDS runs with its defaults' if profile.name == NONE else f'{profile.path} is slow')
    return (f'{reason}: every lost message costs up to {profile.heartbeat:g} s, every large one '
            'may be lost as a whole. On a link that loses packets launch with '
            f'dds_profile:=fastdds, or source {config_folder()}/dds/fastdds.env in both shells.')


def _name(path: Path) -> str:
    shipped = path.parent.resolve() == (config_folder() / 'dds').resolve()
    return path.stem if shipped else CUSTOM


def _heartbeat(path: Path) -> float:
    """Return the heartbeat period of the file's default writer profile in seconds."""
    for writer in ElementTree.parse(path).iter(f'{_XML}data_writer'):
        period = writer.find(f'{_XML}times/{_XML}heartbeatPeriod')
        if writer.get('is_default_profile') == 'true' and period is not None:
            return (float(period.findtext(f'{_XML}sec', '0'))
                    + 1e-9 * float(period.findtext(f'{_XML}nanosec', '0')))
    return _FASTDDS_HEARTBEAT
