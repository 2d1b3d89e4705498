# SPDX-License-Identifier: Apache-2.0
"""Imports go down the figure of docs/architecture.md, and ROS stays where it belongs."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'shadowtutor_ros'

# From the bottom of the figure; a folder that is not here stands on top.
LAYERS = (('model', 'transfer'), ('distill', 'schedule', 'wire', 'teacher'), ('runtime',),
          ('monitor',), ('nodes',), ('harness', 'bag'), ('evaluation',))
TOP = len(LAYERS)
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob('*/__init__.py'))
KNOW_ROS = {'wire/messages.py', 'wire/piece_messages.py', 'wire/images.py',
            'evaluation/over_ros.py'}
ROS = {'action_msgs', 'builtin_interfaces', 'cv_bridge', 'diagnostic_msgs', 'launch',
       'lifecycle_msgs', 'rcl_interfaces', 'rclpy', 'rosgraph_msgs', 'sensor_msgs',
       'shadowtutor_msgs', 'std_msgs', 'vision_msgs'}


def layer(folder: str) -> int:
    return next((height for height, folders in enumerate(LAYERS) if folder in folders), TOP)


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in the file."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    return ({alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
            | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module})


def test_the_figure_shows_folders_that_exist() -> None:
    assert {folder for folders in LAYERS for folder in folders} <= set(FOLDERS)


@pytest.mark.parametrize('folder', FOLDERS)
def test_a_folder_imports_only_from_below(folder: str) -> None:
    for path in PACKAGE.glob(f'{folder}/**/*.py'):
        for module in imports(path):
            ours, _, rest = module.partition('.')
            other = rest.partition('.')[0]
            if ours == PACKAGE.name and other in FOLDERS and other != folder:
                assert layer(other) < layer(folder) or layer(folder) == TOP, (path, module)


@pytest.mark.parametrize('folder', [folder for folder in FOLDERS if layer(folder) != TOP
                                    and folder not in ('nodes', 'harness')])
def test_algorithms_know_nothing_of_ros(folder: str) -> None:
    for path in PACKAGE.glob(f'{folder}/**/*.py'):
        known = {module.partition('.')[0] for module in imports(path)} & ROS
        assert not known or str(path.relative_to(PACKAGE)) in KNOW_ROS, (path, known)
