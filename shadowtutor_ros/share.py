# SPDX-License-Identifier: Apache-2.0
"""Where the shipped configuration lies: beside the sources, or installed under share/."""

from pathlib import Path
import sys


def config_file(name: str, folder: str = '') -> Path:
    """
    Return ``name`` if it is an existing path, else the shipped ``config/<folder>/<name>.yaml``.

    Raise FileNotFoundError naming both places.
    """
    given = Path(name).expanduser()
    if given.is_file():
        return given
    shipped = config_folder() / folder / f'{name}.yaml'
    if not shipped.is_file():
        raise FileNotFoundError(f'neither the file {given} nor the shipped {shipped} exists')
    return shipped


def config_folder() -> Path:
    """Return the folder of shipped configuration; raise FileNotFoundError if there is none."""
    source = Path(__file__).resolve().parents[1] / 'config'
    if source.is_dir():
        return source
    try:
        from ament_index_python.packages import get_package_share_directory
        installed = Path(get_package_share_directory('shadowtutor_ros')) / 'config'
    except (ImportError, LookupError):
        installed = Path(sys.prefix) / 'share' / 'shadowtutor_ros' / 'config'
    if not installed.is_dir():
        raise FileNotFoundError(f'no configuration at {source} or {installed}')
    return installed
