# SPDX-License-Identifier: Apache-2.0
"""Commands that the pages print have arguments that exist; whether they work is not tried here."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
import re
import shlex

import pytest
import yaml

from shadowtutor_ros.cli import command_line

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/*.md')])
OURS = 'ros2 run shadowtutor_ros '


def printed() -> Iterator[tuple[str, str]]:
    """Give every command of the blocks of all pages with the page's name."""
    for page in PAGES:
        for block in re.findall(r'^ *```sh\n(.*?)^ *```', page.read_text(), re.M | re.S):
            for line in block.replace('\\\n', ' ').splitlines():
                for command in re.split(r' && |; | \| ', line.partition(' #')[0]):
                    yield page.name, command.strip()


def words(start: str) -> list[list[str]]:
    """Return the words after ``start`` of every command in which it stands, without examples."""
    found = [shlex.split(command[match.end():]) for _, command in printed()
             if (match := re.search(rf'(^|[ /]){start}', command))]
    assert len(found) > 2
    return [each for each in found if '...' not in each]


def declared() -> set[str]:
    """Return the names of all launch arguments."""
    return {ast.literal_eval(node.args[0])
            for path in [*ROOT.glob('launch/*.py'), ROOT / 'shadowtutor_ros/launching.py']
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            and node.func.id == 'DeclareLaunchArgument'}


@pytest.mark.parametrize('arguments', words('(?<!cache/)shadowtutor '), ids=' '.join)
def test_a_subcommand_takes_the_arguments(arguments: list[str]) -> None:
    command_line().parse_args(arguments)


@pytest.mark.parametrize('arguments', words('python benchmark/'), ids=' '.join)
def test_a_benchmark_has_the_options(arguments: list[str]) -> None:
    file = ROOT / 'benchmark' / arguments[0]
    options = {word for word in arguments if word.startswith('--')}
    assert not [option for option in options if f"'{option}'" not in file.read_text()]


@pytest.mark.parametrize('arguments', words('ros2 launch shadowtutor_ros '), ids=' '.join)
def test_a_launch_file_has_the_arguments(arguments: list[str]) -> None:
    assert (ROOT / 'launch' / arguments[0]).is_file()
    assert {word.partition(':=')[0] for word in arguments[1:]} <= declared()


@pytest.mark.parametrize('arguments', words(f'{OURS}(?=tutor_node|student_node)'), ids=' '.join)
def test_a_node_has_the_parameters(arguments: list[str]) -> None:
    file = ROOT / 'config' / f'{arguments[0].removesuffix("_node")}.yaml'
    (node,) = yaml.safe_load(file.read_text()).values()
    given = {value.partition(':=')[0] for option, value in pairwise(arguments)
             if option == '-p'}
    assert given <= set(node['ros__parameters'])


def test_commands_of_one_block_make_different_files() -> None:
    made = [(page, command.split()[3:5][-1]) for page, command in printed()
            if command.startswith('shadowtutor bag make')]
    assert len(set(made)) == len(made) > 3
