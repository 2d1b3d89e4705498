# SPDX-License-Identifier: Apache-2.0
"""The launch files: compiled always, described where launch is installed."""

import ast
from pathlib import Path
import runpy

import pytest

LAUNCH = Path(__file__).parents[1] / 'launch'
FILES = sorted(LAUNCH.glob('*.launch.py'))


def test_all_four_are_there() -> None:
    assert [path.name.split('.')[0] for path in FILES] == ['demo', 'replay', 'student', 'tutor']


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_every_argument_is_described(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    arguments = [call for call in calls if call.func.id == 'DeclareLaunchArgument']
    assert arguments
    for call in arguments:
        assert 'description' in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


@pytest.mark.parametrize('path', FILES, ids=lambda path: path.name)
def test_it_describes_a_launch(path: Path) -> None:
    pytest.importorskip('launch_ros', reason='launch is not among the ROS wheels')
    assert runpy.run_path(str(path))['generate_launch_description']().entities
