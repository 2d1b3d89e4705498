# SPDX-License-Identifier: Apache-2.0
"""The launch files: compiled always, described where launch is installed."""

import ast
from pathlib import Path
import runpy
from typing import Any

from prefix import install
import pytest
import yaml

from shadowtutor_ros.dds import profile_environment

LAUNCH = Path(__file__).parents[1] / 'launch'
CONFIG = LAUNCH.with_name('config')
FILES = sorted(LAUNCH.glob('*.launch.py'))
SHARED = LAUNCH.with_name('shadowtutor_ros') / 'launching.py'


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an installed package for whoever asks the ament index."""
    install(tmp_path)
    monkeypatch.setenv('AMENT_PREFIX_PATH', str(tmp_path))


Started = list[tuple[str, str, dict[str, str]]]  # executable, command line, added variables


def started(monkeypatch: pytest.MonkeyPatch, name: str, **arguments: str) -> Started:
    """Return what would be started, without starting anything."""
    pytest.importorskip('launch_ros', reason='launch is not among the ROS wheels')
    from launch.actions import ExecuteProcess
    from launch.launch_context import LaunchContext
    from launch.utilities import perform_substitutions

    found: Started = []

    def execute(process: Any, context: Any) -> None:
        command = [perform_substitutions(context, word) for word in process.cmd]
        added = {perform_substitutions(context, name): perform_substitutions(context, value)
                 for name, value in process.additional_env or ()}
        found.append((Path(command[0]).name, ' '.join(command), added))

    monkeypatch.setattr(ExecuteProcess, 'execute', execute, raising=False)
    context = LaunchContext()
    context.launch_configurations.update(arguments)

    def visit(entity: Any) -> None:
        for child in entity.visit(context) or ():
            visit(child)

    file = runpy.run_path(str(LAUNCH / f'{name}.launch.py'))
    visit(file['generate_launch_description']())
    return found


def commands(monkeypatch: pytest.MonkeyPatch, name: str, **arguments: str) -> dict[str, str]:
    """Return the command lines of a launch file by executable."""
    return {executable: command
            for executable, command, _ in started(monkeypatch, name, **arguments)}


def parameters(command: str) -> list[dict[str, Any]]:
    """Return what a command line sets beside params_file."""
    files = [Path(word) for word in command.split() if word.startswith('/') and
             Path(word).name.startswith('launch_params')]
    return [next(iter(yaml.safe_load(path.read_text()).values()))['ros__parameters']
            for path in files]


def test_all_are_there() -> None:
    assert [path.name.split('.')[0] for path in FILES] == [
        'bringup', 'demo', 'helper', 'replay', 'student', 'tutor']


@pytest.mark.parametrize('path', [*FILES, SHARED], ids=lambda path: path.name)
def test_every_argument_is_described(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    arguments = [call for call in calls if call.func.id == 'DeclareLaunchArgument']
    assert arguments or path != SHARED
    for call in arguments:
        assert 'description' in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


@pytest.mark.parametrize('name', ['helper', 'replay', 'student', 'tutor'])
def test_a_node_gets_its_own_parameters(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (command,) = commands(monkeypatch, name, source='0').values()
    assert f'config/{name}.yaml' in command


def test_the_demo_starts_every_node_with_its_own_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = commands(monkeypatch, 'demo', source='0', robots='robot')
    assert {name.removesuffix('_node') for name in found} == {'replay', 'student', 'tutor'}
    for name, command in found.items():
        assert f"config/{name.removesuffix('_node')}.yaml" in command
        assert ('__ns:=/robot' in command) == (name != 'tutor_node')


def test_only_arguments_that_are_given_override_params_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paper = str(CONFIG / 'paper.yaml')
    (command,) = commands(monkeypatch, 'tutor', params_file=paper).values()
    assert paper in command
    assert not parameters(command)
    (command,) = commands(monkeypatch, 'tutor', teacher='yolo', use_sim_time='true').values()
    assert parameters(command) == [{'use_sim_time': True, 'teacher': 'yolo'}]


def test_a_tutor_is_told_the_first_student_and_what_it_teaches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = commands(monkeypatch, 'bringup', checkpoint='mine.safetensors', task='detection')
    assert parameters(found['tutor_node']) == [
        {'checkpoint': 'mine.safetensors', 'task': 'detection'}]
    assert not parameters(found['student_node'])


def test_a_camera_index_stays_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = commands(monkeypatch, 'replay', source='0').values()
    assert parameters(command) == [{'source': '0'}]


def test_a_replay_with_a_clock_has_media_stamps(monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = commands(monkeypatch, 'replay', source='0', clock='true', loop='false').values()
    assert parameters(command) == [
        {'source': '0', 'clock': True, 'loop': False, 'stamps': 'media'}]
    found = commands(monkeypatch, 'demo', source='0', clock='true', use_sim_time='true')
    assert parameters(found['replay_node']) == [
        {'source': '0', 'clock': True, 'stamps': 'media'}]
    (student,) = parameters(found['student_node'])
    assert student['use_sim_time'] is True


def test_the_dds_profile_reaches_our_own_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in profile_environment('fastdds'):
        monkeypatch.delenv(variable, raising=False)
    for profile, expected in (({}, 'fastdds'), ({'dds_profile': 'fastdds-mtu'}, 'fastdds-mtu')):
        found = started(monkeypatch, 'demo', source='0', **profile)
        added = {executable: variables for executable, _, variables in found}
        assert added == {'student_node': profile_environment(expected),
                         'tutor_node': profile_environment(expected),
                         'replay_node': profile_environment(expected)}
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', 'my.xml')
    assert started(monkeypatch, 'student')[0][2] == {}
    assert started(monkeypatch, 'replay', source='0')[0][2] == {}
    assert started(monkeypatch, 'student', dds_profile='none')[0][2] == {
        'FASTRTPS_DEFAULT_PROFILES_FILE': ''}


def test_several_robots_share_a_tutor(monkeypatch: pytest.MonkeyPatch) -> None:
    found = started(monkeypatch, 'bringup', robots='red,blue', source='a.avi,b.avi',
                    clock='true', dashboard='true', use_respawn='true')
    where = [(executable, command.partition('__ns:=')[2].split(' ')[0])
             for executable, command, _ in found]
    assert sorted(where) == [
        ('dashboard_node', ''), ('replay_node', '/blue'), ('replay_node', '/red'),
        ('student_node', '/blue'), ('student_node', '/red'), ('tutor_node', '/')]
    given = {command.partition('__ns:=')[2].split(' ')[0]: parameters(command)
             for executable, command, _ in found if executable == 'replay_node'}
    assert given == {
        '/red': [{'source': 'a.avi', 'clock': True, 'stamps': 'media'}],
        '/blue': [{'source': 'b.avi', 'clock': False, 'stamps': 'media'}]}


@pytest.mark.parametrize('name', ['bringup', 'demo'])
def test_all_arguments_of_the_nodes_are_shown(name: str) -> None:
    pytest.importorskip('launch_ros', reason='launch is not among the ROS wheels')

    def shown(name: str) -> set[str]:
        file = runpy.run_path(str(LAUNCH / f'{name}.launch.py'))
        return {argument.name
                for argument in file['generate_launch_description']().get_launch_arguments()}

    nodes = set.union(*map(shown, ('tutor', 'student', 'replay')))
    assert shown(name) >= nodes - {'namespace'} | {'robots'}


def test_every_robot_has_its_own_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = started(monkeypatch, 'bringup', robots='red,blue', helpers='2')
    helpers = {command.partition('__ns:=')[2].split(' ')[0] + '/'
               + command.partition('__node:=')[2].split(' ')[0]: parameters(command)
               for executable, command, _ in found if executable == 'helper_node'}
    assert helpers == {f'/{robot}/helper{number}': [{'robot': f'/{robot}/student'}]
                       for robot in ('red', 'blue') for number in (1, 2)}
    for executable, command, _ in found:
        if executable == 'student_node':
            assert parameters(command) == [{'share': 'auto'}]
    (student,) = parameters(commands(
        monkeypatch, 'bringup', helpers='1', share='frames')['student_node'])
    assert student == {'share': 'frames'}


def test_a_helper_has_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = commands(monkeypatch, 'helper', robot='/student', helper_name='arm').values()
    assert '__node:=arm' in command
    assert parameters(command) == [{'robot': '/student'}]


def test_real_cameras_need_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    assert commands(monkeypatch, 'bringup').keys() == {'student_node', 'tutor_node'}
    with pytest.raises(ValueError, match='at most one per robot, 1, got 2'):
        started(monkeypatch, 'bringup', source='a.avi,b.avi')


def test_a_manager_may_start_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    for command in commands(monkeypatch, 'bringup', autostart='false').values():
        assert parameters(command) == [{'autostart': False}]
