# SPDX-License-Identifier: Apache-2.0
"""What a node says about its middleware is what the middleware reads."""

from __future__ import annotations

from pathlib import Path
import subprocess
from xml.etree import ElementTree

import pytest

from shadowtutor_ros.dds import (
    active_profile,
    advice,
    CUSTOM,
    CYCLONEDDS,
    DdsError,
    FASTDDS,
    launch_environment,
    NONE,
    profile_environment,
    PROFILES,
)
from shadowtutor_ros.share import config_folder

DDS = config_folder() / 'dds'
FILES = 'FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE'


@pytest.mark.parametrize('name', [name for name in PROFILES if name != NONE])
def test_a_shipped_profile_is_what_a_node_then_has(name: str) -> None:
    profile = active_profile(FASTDDS, profile_environment(name))
    assert (profile.name, profile.path) == (name, DDS / f'{name}.xml')
    assert profile.problem == ''


def test_the_recommended_one_needs_no_advice() -> None:
    profile = active_profile(FASTDDS, profile_environment('fastdds'))
    assert profile.heartbeat == pytest.approx(0.03)
    assert advice(profile) is None


def test_the_defaults_of_fast_dds_are_warned_about() -> None:
    profile = active_profile(FASTDDS, profile_environment(NONE))
    assert (profile.name, profile.heartbeat) == (NONE, 3.0)
    text = advice(profile)
    assert text is not None
    assert 'up to 3 s' in text
    assert 'dds_profile:=fastdds' in text


@pytest.mark.parametrize(('content', 'message'), [
    (None, 'No such file'), ('<dds', 'cannot be read'), ('', 'cannot be read'),
    ('<dds xmlns="http://www.eprosima.com"><data_writer is_default_profile="true"><times>'
     '<heartbeatPeriod><sec>soon</sec></heartbeatPeriod></times></data_writer></dds>', 'soon')])
def test_a_file_that_fast_dds_ignores_in_silence_is_found(
    tmp_path: Path, content: str | None, message: str,
) -> None:
    path = tmp_path / 'mine.xml'
    if content is not None:
        path.write_text(content)
    profile = active_profile(FASTDDS, {FILES[1]: str(path)})
    assert profile.name == NONE
    text = advice(profile)
    assert text is not None
    assert str(path) in text
    assert message in text


def test_a_profile_of_ones_own_is_judged_by_its_heartbeat(tmp_path: Path) -> None:
    path = tmp_path / 'mine.xml'
    path.write_text((DDS / 'fastdds.xml').read_text())
    profile = active_profile(FASTDDS, {FILES[0]: str(path)})
    assert (profile.name, advice(profile)) == (CUSTOM, None)
    path.write_text('<dds xmlns="http://www.eprosima.com"/>')
    assert f'{path} is slow' in (advice(active_profile(FASTDDS, {FILES[0]: str(path)})) or '')


def test_a_variable_of_another_middleware_has_no_effect(tmp_path: Path) -> None:
    text = advice(active_profile(CYCLONEDDS, profile_environment('fastdds')))
    assert text == f'{FILES[0]} is set, but {CYCLONEDDS} does not read it'
    assert advice(active_profile(CYCLONEDDS, {})) is None
    text = advice(active_profile(CYCLONEDDS, {'CYCLONEDDS_URI': f'file://{tmp_path}/x.xml'}))
    assert text == f'{tmp_path}/x.xml is no file'


@pytest.mark.parametrize(('wanted', 'environment', 'expected'), [
    ('', {}, 'fastdds'),
    ('', {'RMW_IMPLEMENTATION': FASTDDS}, 'fastdds'),
    ('', {'RMW_IMPLEMENTATION': CYCLONEDDS}, NONE),
    ('', {FILES[1]: str(DDS / 'fastdds-mtu.xml')}, 'fastdds-mtu'),
    ('fastdds', {FILES[1]: str(DDS / 'fastdds-mtu.xml')}, 'fastdds'),
    (NONE, {FILES[1]: str(DDS / 'fastdds-mtu.xml')}, NONE),
    (str(DDS / 'lab.xml'), {}, 'lab')])
def test_what_a_launch_argument_makes_of_the_environment(
    wanted: str, environment: dict[str, str], expected: str,
) -> None:
    node = {**environment, **launch_environment(wanted, environment)}
    rmw = node.get('RMW_IMPLEMENTATION', FASTDDS)
    assert active_profile(rmw, node).name == expected


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(DdsError, match=r"expected one of fastdds, .* got 'fast'"):
        profile_environment('fast')


@pytest.mark.parametrize('path', sorted(DDS.glob('*.env')), ids=lambda path: path.stem)
def test_an_environment_file_can_be_sourced_from_anywhere(path: Path, tmp_path: Path) -> None:
    printed = subprocess.run(
        ['bash', '-c', f'source {path} && env'], cwd=tmp_path, env={'PATH': '/usr/bin:/bin'},
        capture_output=True, text=True, check=True).stdout
    environment = dict(line.split('=', 1) for line in printed.splitlines() if '=' in line)
    profile = active_profile(environment['RMW_IMPLEMENTATION'], environment)
    assert (profile.name, profile.problem) == (path.stem, '')


@pytest.mark.parametrize('path', sorted(DDS.glob('*.xml')), ids=lambda path: path.stem)
def test_every_profile_is_xml(path: Path) -> None:
    ElementTree.parse(path)
