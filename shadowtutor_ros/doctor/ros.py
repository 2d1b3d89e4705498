# SPDX-License-Identifier: Apache-2.0
"""ROS 2 itself: what can be imported and which middleware really is in the process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path
import subprocess
import sys
from xml.etree import ElementTree

from shadowtutor_ros import __version__
from shadowtutor_ros.doctor.finding import Finding, OK, PROBLEM, SKIPPED

ROS, RMW, MESSAGES = 'ROS 2', 'RMW', 'shadowtutor_msgs'
PACKAGE = 'shadowtutor_msgs'
_SOURCES = Path(__file__).resolve().parents[2]
_OLDEST = 'humble'  # the names of ROS 2 distributions are in alphabetical order
_INSTALL = ('install ROS 2 Humble or later: https://docs.ros.org/en/jazzy/Installation.html\n'
            'or, on x86-64, run make env in the sources of shadowtutor_ros, and then: '
            '. .venv/bin/activate && . .venv/local_setup.bash')
_LOAD = """
import rclpy
from rclpy.utilities import get_rmw_implementation_identifier
print(get_rmw_implementation_identifier())
"""


@dataclass(frozen=True)
class Loaded:
    """The middleware that rclpy has loaded, or why there is none."""

    rmw: str = ''
    error: str = ''


def load(environment: Mapping[str, str] = os.environ) -> Loaded:
    """
    Import rclpy in a process of its own.

    Where RMW_IMPLEMENTATION names a middleware that is not there, the import ends the process.
    """
    try:
        done = subprocess.run([sys.executable, '-c', _LOAD], env=environment, check=False,
                              capture_output=True, text=True, errors='replace', timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return Loaded(error=f'{type(error).__name__}: {error}')
    if done.returncode == 0 and done.stdout.strip():
        return Loaded(rmw=done.stdout.split()[-1])
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return Loaded(error=lines[-1].strip() if lines else f'ended with status {done.returncode}')


def ros(
    loaded: Loaded, environment: Mapping[str, str] = os.environ,
    installed: Path = Path('/opt/ros'),
) -> Finding:
    """Judge whether rclpy is there; ``installed`` has a folder per distribution."""
    distro = environment.get('ROS_DISTRO', '')
    if loaded.error and not _is_rmw(loaded.error):
        setups = sorted(installed.glob('*/setup.bash'))
        if not setups:
            return Finding(PROBLEM, ROS, loaded.error, _INSTALL)
        if not distro:
            return Finding(PROBLEM, ROS, f'{loaded.error}: no ROS 2 is sourced in this shell',
                           f'source {setups[-1]}')
        return Finding(
            PROBLEM, ROS, f'{loaded.error}: not the Python that {distro} is made for?',
            f'/usr/bin/python3 -m shadowtutor_ros.cli doctor   # not {sys.executable}')
    if distro and distro < _OLDEST:
        return Finding(PROBLEM, ROS, f'ROS_DISTRO={distro}: expected Humble or later', _INSTALL)
    return Finding(OK, ROS, f'rclpy, ROS_DISTRO={distro}' if distro
                   else 'rclpy from wheels (ROS_DISTRO is not set)')


def rmw(loaded: Loaded, environment: Mapping[str, str] = os.environ) -> Finding:
    """Judge whether the middleware that is wanted is the one that is loaded."""
    wanted, distro = (environment.get(n, '') for n in ('RMW_IMPLEMENTATION', 'ROS_DISTRO'))
    if loaded.rmw:
        return Finding(OK, RMW, f'{loaded.rmw} is loaded')
    if not _is_rmw(loaded.error):
        return Finding(SKIPPED, RMW, 'rclpy cannot be imported')
    install = f'sudo apt install ros-{distro}-{wanted.replace("_", "-")}\nor: ' if distro else ''
    return Finding(PROBLEM, RMW, f'RMW_IMPLEMENTATION={wanted} cannot be loaded: every node ends '
                   'at its start', f'{install}unset RMW_IMPLEMENTATION   # takes the default')


def messages(loaded: Loaded) -> Finding:
    """Import the message package with its type support; compare it with the sources."""
    if not loaded.rmw:
        return Finding(SKIPPED, MESSAGES, 'rclpy cannot be imported')
    try:
        from rclpy.type_support import check_for_type_support
        import shadowtutor_msgs
        from shadowtutor_msgs.action import Distill
        check_for_type_support(Distill)
    except Exception as error:
        return Finding(PROBLEM, MESSAGES, f'{type(error).__name__}: {error}', _rebuild())
    return judge_messages(_share(Path(shadowtutor_msgs.__file__)), _SOURCES / PACKAGE)


def _share(module: Path) -> Path:
    """Return the share folder of the prefix that the package is imported from."""
    return next((folder / 'share' / PACKAGE for folder in module.parents
                 if (folder / 'share' / PACKAGE / 'package.xml').is_file()), module.parent)


def judge_messages(built: Path, sources: Path) -> Finding:
    """Compare the built package's folder with the sources, or else with this package's version."""
    version = ElementTree.parse(built / 'package.xml').getroot().findtext('version', '')
    if version != __version__:
        return Finding(PROBLEM, MESSAGES,
                       f'version {version} in {built}, expected {__version__}', _rebuild())
    different = [path.name for path in sorted(sources.glob('*/*'))
                 if path.suffix in ('.msg', '.srv', '.action')
                 and _fields(built / path.relative_to(sources)) != _fields(path)]
    if different:
        return Finding(PROBLEM, MESSAGES, f'{", ".join(different)} in {built}: not as in '
                       f'{sources}', _rebuild())
    return Finding(OK, MESSAGES, f'version {version}, {built}')


def _is_rmw(error: str) -> bool:
    return 'RMW implementation' in error


def _fields(path: Path) -> list[str]:
    """Return the lines of a definition without comments and spaces; none if there is no file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return [words for line in lines if (words := ' '.join(line.split('#')[0].split()))]


def _rebuild() -> str:
    root = _SOURCES if (_SOURCES / PACKAGE).is_dir() else Path('src/shadowtutor_ros')
    if Path(sys.prefix) == root / '.venv':  # made by scripts/make_env.sh
        return f'make -C {Path(sys.prefix).parent} env && . {sys.prefix}/local_setup.bash'
    return (f'colcon build --base-paths {root} {root}/{PACKAGE} && . install/setup.bash'
            '   # in your workspace')
