# SPDX-License-Identifier: Apache-2.0
"""package.xml, or the pip packages of the documents, have every import."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re
import sys
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [*ROOT.glob('shadowtutor_ros/**/*.py'), *ROOT.glob('launch/*.py')]
OURS = 'shadowtutor_ros'

# Keys of rosdistro's rosdep/python.yaml and base.yaml, where a module's name is not its key.
KEYS = {
    'cv2': 'python3-opencv', 'h5py': 'python3-h5py',
    'jinja2': 'python3-jinja2', 'matplotlib': 'python3-matplotlib', 'numpy': 'python3-numpy',
    'rich': 'python3-rich', 'tqdm': 'python3-tqdm', 'yaml': 'python3-yaml',
}
# ROS packages, whose modules have their names.
ROS = {
    'action_msgs', 'ament_index_python', 'builtin_interfaces', 'diagnostic_msgs', 'geometry_msgs',
    'launch', 'launch_ros', 'lifecycle_msgs', 'rcl_interfaces', 'rclpy', 'rosgraph_msgs',
    'rosidl_parser', 'sensor_msgs', 'shadowtutor_msgs', 'std_msgs',
}
# Without a key, or with one that installs what we cannot use.
PIP = {
    'robot.md': {'torch', 'safetensors', 'rosbags'},
    'server.md': {'torchvision', 'detectron2'},
    'viewers.md': {'nicegui'},
}
# Comes with torch for CUDA; without it nothing is missing but speed.
WITH_TORCH = {'triton'}
# What nicegui itself is made of.
WITH_NICEGUI = {'fastapi', 'starlette', 'uvicorn'}
# Used where they are installed; docs/robot.md names the package.
OPTIONAL = {'vision_msgs': 'ros-$ROS_DISTRO-vision-msgs'}


def imported(source: str) -> Iterator[str]:
    """Return the top-level modules that a file imports anywhere."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name.split('.')[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split('.')[0]


def third_party() -> set[str]:
    modules = {module for path in SOURCES for module in imported(path.read_text())}
    return modules - set(sys.stdlib_module_names) - {OURS}


def depends(package: Path) -> set[str]:
    """Return what a package.xml says is needed at run time."""
    root = ElementTree.parse(package / 'package.xml').getroot()
    return {element.text or '' for tag in ('depend', 'exec_depend')
            for element in root.findall(tag)}


def test_every_import_is_a_dependency_that_is_declared_or_documented() -> None:
    known = depends(ROOT) | set(OPTIONAL) | WITH_NICEGUI | WITH_TORCH | set().union(*PIP.values())
    missing = {module for module in third_party() if KEYS.get(module, module) not in known}
    assert not missing


def test_package_xml_has_no_key_that_nobody_looked_up() -> None:
    assert depends(ROOT) <= ROS | set(KEYS.values())


def installed_by_pip(page: Path) -> str:
    """Return the page's pip commands, with the contents of the requirements that they name."""
    commands = '\n'.join(line for block in re.findall(r'```sh\n(.*?)```', page.read_text(), re.S)
                         for line in block.splitlines() if 'pip install' in line)
    files = re.findall(r'-r \S*(requirements/\S+)', commands)
    return '\n'.join([commands, *((ROOT / file).read_text() for file in files)])


@pytest.mark.parametrize(('page', 'name'), [
    (page, name) for page, names in PIP.items() for name in sorted(names)])
def test_what_comes_from_pip_is_in_a_command_of_the_page(page: str, name: str) -> None:
    assert re.search(rf'\b{name}\b', installed_by_pip(ROOT / 'docs' / page))


def test_what_is_optional_is_named() -> None:
    text = (ROOT / 'docs/robot.md').read_text()
    for package in OPTIONAL.values():
        assert package in text


def test_the_messages_package_declares_what_its_interfaces_use() -> None:
    folder = ROOT / 'shadowtutor_msgs'
    used = {match for path in folder.glob('*/*')
            if path.suffix in ('.msg', '.srv', '.action')
            for match in re.findall(r'^(\w+)/\w+', path.read_text(), re.MULTILINE)}
    assert used <= depends(folder)
