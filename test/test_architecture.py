# SPDX-License-Identifier: Apache-2.0
"""Imports go down the figure of docs/architecture.md, in no circle, and ROS stays in its place."""

import ast
from collections import Counter
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
import re

import pytest

PACKAGE = Path(__file__).parents[1] / 'shadowtutor_ros'

# Folders, and modules beside them, from the bottom of the figure. A part imports only what lies
# below it: the parts of one layer know nothing of each other.
LAYERS = (
    ('errors', 'interrupts', 'overlay', 'share'),
    ('untrusted', 'whole_file'),
    ('classes', 'cuda_graph', 'dds', 'file_names', 'frame', 'picture', 'playback', 'schedule',
     'snapshot', 'transfer', 'upload'),
    ('teacher', 'video'),
    ('assets', 'launching', 'tasks', 'video_writer'),
    ('model',),
    ('distill', 'wire'),
    ('bag', 'monitor', 'runtime'),
    ('sources',),
    ('nodes',),
    ('harness',),
    ('evaluation',),
    ('demo', 'doctor', 'pretrain'),
    ('commands',),
    ('cli',),
    ('programs',),
)
# The rooms of nodes/: a room imports itself and these, and no node.
ROOMS = {'toolkit': (), 'link': ('toolkit', 'qos')}
TOOLKIT_KNOWS = {'dds', 'errors'}  # of ours: the rest of it would serve any rclpy node

LONGEST = 400  # lines of a module

KNOW_ROS = ('doctor/observer.py', 'doctor/ros.py', 'evaluation/over_ros.py', 'harness/',
            'launching.py', 'nodes/', 'wire/cdr.py', 'wire/images.py', 'wire/messages.py',
            'wire/piece_messages.py', 'wire/polygon_messages.py', 'wire/seal.py')
ROS = {'action_msgs', 'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs', 'launch',
       'launch_ros', 'lifecycle_msgs', 'rcl_interfaces', 'rclpy', 'rosgraph_msgs', 'rosidl_parser',
       'sensor_msgs', 'shadowtutor_msgs', 'std_msgs', 'std_srvs', 'vision_msgs'}


def name_of(path: Path) -> str:
    """Return a module's name within the package: ``nodes.link.action_link``, ``video``."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob('*.py')) if path.parent != PACKAGE
         or path.name != '__init__.py'}
PARTS = sorted({name.partition('.')[0] for name in FILES})


@cache
def imports(path: Path) -> frozenset[str]:
    """Return what a file imports, wherever in the file: modules, and names from modules."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    assert not any(node.level for node in nodes if isinstance(node, ast.ImportFrom)), path
    return frozenset(
        alias.name if isinstance(node, ast.Import) else f'{node.module}.{alias.name}'
        for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names)


def ours(path: Path) -> set[str]:
    """Return the modules of the package that a file imports."""
    found = [name.partition('.')[2] for name in imports(path)
             if name.partition('.')[0] == PACKAGE.name]
    return {name if name in FILES else name.rpartition('.')[0] for name in found} - {''}


def layer(part: str) -> int:
    return next(height for height, parts in enumerate(LAYERS) if part in parts)


def test_every_folder_and_every_module_beside_them_has_one_place() -> None:
    assert sorted(part for parts in LAYERS for part in parts) == PARTS


def test_the_page_shows_the_same_layers() -> None:
    page = (PACKAGE.parent / 'docs/architecture.md').read_text()
    folders = page.partition('## Folders')[2].partition('\n## ')[0]
    rows = re.findall(r'^\| \d+ \| (.*?) \|', folders, re.MULTILINE)
    shown = [sorted(re.findall(r'`(\w+)(?:/|\.py)`', row)) for row in rows]
    assert shown == [sorted(parts) for parts in reversed(LAYERS)]


def test_no_module_imports_itself_by_a_detour() -> None:
    TopologicalSorter({name: ours(path) for name, path in FILES.items()}).prepare()


def test_a_name_means_one_class() -> None:
    names = Counter(node.name for path in FILES.values()
                    for node in ast.walk(ast.parse(path.read_text()))
                    if isinstance(node, ast.ClassDef) and not node.name.startswith('_'))
    assert not [name for name, count in names.items() if count > 1]


def test_no_module_is_long() -> None:
    assert not [name for name, path in FILES.items()
                if len(path.read_text().splitlines()) > LONGEST]


@pytest.mark.parametrize('part', PARTS)
def test_a_part_imports_only_from_below(part: str) -> None:
    for name, path in FILES.items():
        if name.partition('.')[0] == part:
            above = {other for module in ours(path) if (other := module.partition('.')[0]) != part
                     and layer(other) >= layer(part)}
            assert not above, name


@pytest.mark.parametrize('room', ROOMS)
def test_a_room_of_the_nodes_imports_no_node(room: str) -> None:
    for name, path in FILES.items():
        if name.startswith(f'nodes.{room}'):
            parts = {module.split('.')[1] for module in ours(path) if module.startswith('nodes.')}
            assert parts <= {room, *ROOMS[room]}, name


def test_the_toolkit_of_the_nodes_is_generic() -> None:
    for name, path in FILES.items():
        if name.startswith('nodes.toolkit'):
            known = {module.partition('.')[0] for module in ours(path)} - {'nodes'}
            assert known <= TOOLKIT_KNOWS, name
            assert not any(module.startswith('shadowtutor_msgs') for module in imports(path)), name


@pytest.mark.parametrize('part', PARTS)
def test_algorithms_know_nothing_of_ros(part: str) -> None:
    for name, path in FILES.items():
        file = path.relative_to(PACKAGE).as_posix()
        if name.partition('.')[0] == part and not file.startswith(KNOW_ROS):
            assert not {module.partition('.')[0] for module in imports(path)} & ROS, name


@pytest.mark.parametrize('place', KNOW_ROS)
def test_what_may_know_ros_exists(place: str) -> None:
    assert (PACKAGE / place).exists()
