# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
import runpy

import pytest
from rclpy.context import Context
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
import yaml

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.nodes import student_node
from shadowtutor_ros.nodes.dashboard_node import DASHBOARD_PARAMETERS
from shadowtutor_ros.nodes.helper_node import HELPER_PARAMETERS
from shadowtutor_ros.nodes.replay_node import REPLAY_PARAMETERS
from shadowtutor_ros.nodes.student_parameters import STUDENT_PARAMETERS
from shadowtutor_ros.nodes.teacher_node import TEACHER_PARAMETERS
from shadowtutor_ros.nodes.toolkit.parameters import declare, keep_live, Parameter, ParameterError
from shadowtutor_ros.nodes.tutor_parameters import TUTOR_PARAMETERS
from shadowtutor_ros.share import config_file

TABLES = {'student': STUDENT_PARAMETERS, 'tutor': TUTOR_PARAMETERS,
          'teacher': TEACHER_PARAMETERS, 'replay': REPLAY_PARAMETERS,
          'helper': HELPER_PARAMETERS, 'dashboard': DASHBOARD_PARAMETERS}


def read(name: str) -> dict[str, dict[str, dict[str, object]]]:
    content: dict[str, dict[str, dict[str, object]]] = yaml.safe_load(
        config_file(name).read_text())
    return content


@pytest.mark.parametrize('node', TABLES)
def test_the_shipped_yaml_is_the_declared_defaults(node: str) -> None:
    values = read(node)['/**']['ros__parameters']
    assert values == {p.name: p.default for p in TABLES[node]}
    for p in TABLES[node]:
        assert type(values[p.name]) is type(p.default), p.name


def test_files_and_page_are_what_the_script_writes() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / 'scripts/write_parameters.py'))
    assert script['NODES'] == TABLES
    for path, text in script['files']().items():
        assert path.read_text() == text, path


def test_there_are_few_parameters_and_each_is_used() -> None:
    assert len({p for table in TABLES.values() for p in table}) <= 78
    nodes = Path(student_node.__file__).parent
    code = ''.join(path.read_text() for path in (
        *nodes.glob('*_node.py'), *nodes.glob('*_settings.py'), nodes / 'toolkit/managed.py'))
    for name in {p.name for table in TABLES.values() for p in table}:
        used = code.count(f"'{name}'") - code.count(f"Parameter('{name}'")
        assert used, name


@pytest.mark.parametrize('node', TABLES)
def test_every_parameter_is_described_and_bounded(node: str) -> None:
    for p in TABLES[node]:
        assert p.description.endswith('.'), p.name
        if isinstance(p.default, (int, float)) and not isinstance(p.default, bool):
            assert p.minimum is not None, p.name
            assert p.maximum is not None, p.name
            assert p.minimum <= p.default <= p.maximum, p.name
        if p.choices:
            assert p.default in p.choices, p.name


def test_the_paper_preset_is_the_papers() -> None:
    tutor = read('paper')['/**/tutor']['ros__parameters']
    given = {name: value for name, value in tutor.items()
             if name in asdict(DistillSettings())}
    assert DistillSettings(**given) == DistillSettings.paper()
    student = read('paper')['/**/student']['ros__parameters']
    names = {p.name for p in STUDENT_PARAMETERS}
    assert student.keys() <= names
    assert tutor.keys() <= {p.name for p in TUTOR_PARAMETERS}


TABLE = (
    Parameter('speed', 0.5, 'A number.', 0.0, 1.0),
    Parameter('mode', 'slow', 'A choice.', choices=('slow', 'fast')),
)
LIVE_TABLE = (
    Parameter('low', 1, 'Less than high.', 0, 9, live=True),
    Parameter('high', 5, 'More than low.', 0, 9, live=True),
    Parameter('mode', 'slow', 'A choice.', choices=('slow', 'fast'), live=True),
    Parameter('fixed', 1, 'Read only.', 0, 9),
)


def node_with(context: Context, **values: object) -> Node:
    return Node('test', context=context, parameter_overrides=[
        RosParameter(name, value=value) for name, value in values.items()])


@pytest.mark.ros
def test_values_come_from_overrides_and_defaults(context: Context) -> None:
    node = node_with(context, speed=0.25)
    assert declare(node, TABLE) == {'speed': 0.25, 'mode': 'slow'}
    assert node.describe_parameter('mode').additional_constraints == 'one of: slow, fast'
    assert node.describe_parameter('speed').read_only
    node.destroy_node()


@pytest.mark.ros
@pytest.mark.parametrize(('table', 'name', 'given', 'value'), [
    (REPLAY_PARAMETERS, 'source', 0, '0'), (REPLAY_PARAMETERS, 'frame_id', 12, '12'),
    (STUDENT_PARAMETERS, 'stream_id', 7, '7'), (STUDENT_PARAMETERS, 'cpus', 0, '0'),
    (STUDENT_PARAMETERS, 'stream_id', -1, '-1'), (STUDENT_PARAMETERS, 'goal_timeout', 60, 60.0),
    (REPLAY_PARAMETERS, 'fps', 30, 30.0), (TUTOR_PARAMETERS, 'labels_fps', 25, 25.0),
])
@pytest.mark.parametrize('way', ['argument', 'file', 'code'])
def test_a_whole_number_will_do_for_a_text_and_a_fraction(
    context: Context, tmp_path: Path, table: tuple[Parameter, ...], name: str, given: int,
    value: object, way: str,
) -> None:
    file = tmp_path / 'p.yaml'
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': {name: given}}}))
    words = {'argument': ['-p', f'{name}:={given}'], 'file': ['--params-file', str(file)],
             'code': []}[way]
    node = Node('digits', context=context, cli_args=['--ros-args', *words],
                parameter_overrides=[RosParameter(name, value=given)] if way == 'code' else [])
    try:
        values = declare(node, table)
        assert values[name] == value
        assert type(values[name]) is type(value)
        assert node.get_parameter(name).value == value
        assert not node.describe_parameter(name).dynamic_typing
    finally:
        node.destroy_node()


@pytest.mark.ros
def test_what_yaml_takes_for_false_is_off_where_that_is_a_choice(context: Context) -> None:
    node = node_with(context, share=False)
    assert declare(node, (Parameter('share', 'auto', 'A choice.', choices=('off', 'auto')),)) == {
        'share': 'off'}
    node.destroy_node()


@pytest.mark.ros
@pytest.mark.parametrize(('values', 'error', 'message'), [
    ({'mode': 3}, ParameterError, 'mode: expected one of'),
    ({'speed': True}, InvalidParameterTypeException, 'speed'),
    ({'mode': True}, InvalidParameterTypeException, 'mode'),
    ({'mode': 'medium'}, ParameterError, "mode: expected one of slow, fast, got 'medium'"),
    ({'sped': 0.1}, ParameterError, "unknown parameter 'sped': expected one of mode, speed"),
    ({'speed': 2.0}, InvalidParameterValueException, 'speed'),
    ({'speed': 'much'}, InvalidParameterTypeException, 'speed'),
])
def test_bad_values_are_named(
    context: Context, values: dict[str, object], error: type[Exception], message: str,
) -> None:
    node = node_with(context, **values)
    with pytest.raises(error, match=message):
        declare(node, TABLE)
    node.destroy_node()


@pytest.fixture
def live(context: Context) -> Iterator[tuple[Node, dict[str, object]]]:
    def apply(values: dict[str, object]) -> None:
        if values['low'] >= values['high']:
            raise ValueError(f"expected low < high, got {values['low']} and {values['high']}")

    node = node_with(context)
    values = declare(node, LIVE_TABLE)
    keep_live(node, LIVE_TABLE, values, apply)
    yield node, values
    node.destroy_node()


def change(node: Node, **values: object) -> str:
    """Return the reason for which the node refuses, empty if it does not."""
    result = node.set_parameters_atomically(
        [RosParameter(name, value=value) for name, value in values.items()])
    assert result.successful is not bool(result.reason)
    return result.reason


@pytest.mark.ros
def test_live_parameters_change_together(live: tuple[Node, dict[str, object]]) -> None:
    node, values = live
    assert not node.describe_parameter('low').read_only
    assert change(node, low=6, high=8, mode='fast') == ''
    assert values == {'low': 6, 'high': 8, 'mode': 'fast', 'fixed': 1}
    assert node.get_parameter('high').value == 8


@pytest.mark.ros
@pytest.mark.parametrize(('wanted', 'reason'), [
    ({'low': 7}, 'expected low < high, got 7 and 5'),
    ({'high': 8, 'mode': 'medium'}, "mode: expected one of slow, fast, got 'medium'"),
    ({'high': 8, 'fixed': 2}, 'read-only'),
    ({'high': 8, 'low': 10}, 'low'),
    ({'high': 8.5}, 'Wrong parameter type')])
def test_a_change_that_is_refused_changes_nothing(
    live: tuple[Node, dict[str, object]], wanted: dict[str, object], reason: str,
) -> None:
    node, values = live
    assert reason in change(node, **wanted)
    assert values == {'low': 1, 'high': 5, 'mode': 'slow', 'fixed': 1}
    assert node.get_parameter('high').value == 5
