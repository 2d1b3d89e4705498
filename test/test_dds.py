# SPDX-License-Identifier: Apache-2.0
"""What a node says about its middleware is what the middleware reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
import json
import os
from pathlib import Path
import re
import subprocess
import sys
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
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable, ROBOT, SERVER, SIDES
from shadowtutor_ros.share import config_folder

DDS = config_folder() / 'dds'
FILES = 'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'
SHIPPED = [name for name in PROFILES if name != NONE]

# Several services, each asked again when it has answered: small requests one at a time.
SERVICES, SECONDS = 5, 10
SERVE = f"""
import rclpy
from rcl_interfaces.srv import GetParameters
rclpy.init()
node = rclpy.create_node('server')
for i in range({SERVICES}):
    node.create_service(GetParameters, f'small{{i}}', lambda request, response: response)
print('serves', flush=True)
rclpy.spin(node)
"""
CALL = f"""
import json, sys, time
import rclpy
from rcl_interfaces.srv import GetParameters
rclpy.init()
node = rclpy.create_node('client')
clients = [node.create_client(GetParameters, f'small{{i}}') for i in range({SERVICES})]
asked, took = {{}}, []
def ask(client):
    asked[client] = time.monotonic()
    client.call_async(GetParameters.Request()).add_done_callback(lambda _: answered(client))
def answered(client):
    took.append(time.monotonic() - asked.pop(client))
for client in clients:
    assert client.wait_for_service(20)
    ask(client)
while asked:
    rclpy.spin_once(node)
took.clear()
print('answered', flush=True)
sys.stdin.readline()
end = time.monotonic() + {SECONDS}
while time.monotonic() < end:
    for client in clients:
        if client not in asked:
            ask(client)
    rclpy.spin_once(node, timeout_sec=0.05)
print(json.dumps(took + [time.monotonic() - since for since in asked.values()]))
"""


@pytest.fixture
def lossy() -> Iterator[NetLab]:
    """A link that loses nothing until lose() is called."""
    with ExitStack() as stack:
        try:
            lab = stack.enter_context(NetLab())
            for side in SIDES:
                run(lab, side, 'nft', 'add table netdev loss')
        except (NetLabUnavailable, FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f'no lossy link: {error}')
        yield lab


def run(lab: NetLab, side: str, *command: str) -> None:
    subprocess.run([*lab.command(side), *command], check=True, capture_output=True)


def lose(lab: NetLab, percent: int) -> None:
    for side in SIDES:
        run(lab, side, 'nft', 'add chain netdev loss in '
            '{ type filter hook ingress device "wire0" priority 0; }')
        run(lab, side, 'nft', 'add rule netdev loss in meta protocol ip '
            f'numgen random mod 100 < {percent} drop')


@pytest.mark.parametrize('name', SHIPPED)
def test_a_shipped_profile_is_what_a_node_then_has(name: str) -> None:
    profile = active_profile(FASTDDS, profile_environment(name, {}))
    assert (profile.name, profile.path) == (name, DDS / f'{name}.xml')
    assert profile.problem == ''


def test_the_recommended_one_needs_no_advice() -> None:
    profile = active_profile(FASTDDS, profile_environment('fastdds', {}))
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
    profile = active_profile(FASTDDS, {FILES[0]: str(path)})
    assert profile.name == NONE
    text = advice(profile)
    assert text is not None
    assert str(path) in text
    assert message in text


@pytest.mark.parametrize('namespace', [
    'http://www.eprosima.com', 'http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles', ''])
def test_a_profile_of_ones_own_is_judged_by_its_heartbeat(tmp_path: Path, namespace: str) -> None:
    path = tmp_path / 'mine.xml'
    shipped = (DDS / 'fastdds.xml').read_text()
    path.write_text(shipped.replace('http://www.eprosima.com', namespace))
    profile = active_profile(FASTDDS, {FILES[0]: str(path)})
    assert (profile.name, advice(profile)) == (CUSTOM, None)
    path.write_text(f'<dds xmlns="{namespace}"/>')
    assert f'{path} is slow' in (advice(active_profile(FASTDDS, {FILES[0]: str(path)})) or '')


def test_tcp_needs_no_advice() -> None:
    for environment in (profile_environment('fastdds-large-data', {}),
                        {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA?max_msg_size=1MB'}):
        profile = active_profile(FASTDDS, environment)
        assert (profile.heartbeat, advice(profile)) == (None, None)


def test_a_variable_of_another_middleware_has_no_effect(tmp_path: Path) -> None:
    text = advice(active_profile(CYCLONEDDS, profile_environment('fastdds', {})))
    assert text == f'{FILES[0]} is set, but {CYCLONEDDS} does not read it'
    assert advice(active_profile(CYCLONEDDS, {})) is None
    text = advice(active_profile(CYCLONEDDS, {'CYCLONEDDS_URI': f'file://{tmp_path}/x.xml'}))
    assert text == f'{tmp_path}/x.xml is no file'
    inline = active_profile(CYCLONEDDS, {'CYCLONEDDS_URI': '<CycloneDDS/>'})
    assert (inline.name, advice(inline)) == (CUSTOM, None)


def prefix(folder: Path, library: str) -> dict[str, str]:
    """Return the environment of a workspace over an installation with this Fast DDS."""
    (folder / 'lib').mkdir()
    (folder / 'lib' / library).touch()
    return {'AMENT_PREFIX_PATH': f'/nowhere:{folder}'}


V2, V3 = 'libfastrtps.so.2.14', 'libfastdds.so.3.2'


@pytest.mark.parametrize(('library', 'variable'), [(V2, FILES[0]), (V3, FILES[1])])
def test_each_version_of_fast_dds_gets_what_it_reads(
    tmp_path: Path, library: str, variable: str,
) -> None:
    ament = prefix(tmp_path, library)
    assert set(launch_environment('', ament)) == {'RMW_IMPLEMENTATION', variable}
    assert launch_environment(__file__, ament) == {variable: __file__}
    profile = active_profile(FASTDDS, {**launch_environment('', ament), **ament})
    assert (profile.heartbeat, advice(profile)) == (pytest.approx(0.03), None)


@pytest.mark.parametrize(('library', 'variable', 'file', 'message'), [
    (V2, FILES[0], 'fastdds3', 'fastdds3.xml is slow'),
    (V2, FILES[1], 'fastdds', f'{FILES[1]} is set, but Fast DDS 2 does not read it'),
    (V3, FILES[0], 'fastdds', 'fastdds.xml is slow'),
    (V3, FILES[1], 'fastdds', 'fastdds.xml is slow')])
def test_what_is_meant_for_another_version_is_found(
    tmp_path: Path, library: str, variable: str, file: str, message: str,
) -> None:
    environment = {variable: str(DDS / f'{file}.xml'), **prefix(tmp_path, library)}
    assert message in (advice(active_profile(FASTDDS, environment)) or '')


def test_the_profile_of_fast_dds_3_differs_in_names_alone() -> None:
    def content(name: str) -> str:
        text = ElementTree.tostring(ElementTree.parse(DDS / name).getroot(), encoding='unicode')
        return re.sub(r'\s+', '', text)

    times = ('initialHeartbeatDelay', 'heartbeatPeriod', 'nackResponseDelay',
             'nackSupressionDuration', 'initialAcknackDelay', 'heartbeatResponseDelay')
    expected = content('fastdds.xml')
    for name in times:
        snake = re.sub('[A-Z]', lambda capital: f'_{capital[0].lower()}', name)
        expected = expected.replace(f':{name}>', f':{snake}>')
    assert content('fastdds3.xml') == expected


@pytest.mark.parametrize(('wanted', 'environment', 'expected'), [
    ('', {}, 'fastdds'),
    ('', {'RMW_IMPLEMENTATION': FASTDDS}, 'fastdds'),
    ('', {'RMW_IMPLEMENTATION': CYCLONEDDS}, NONE),
    ('', {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, NONE),
    ('', {FILES[0]: str(DDS / 'fastdds-mtu.xml')}, 'fastdds-mtu'),
    ('fastdds', {FILES[0]: str(DDS / 'fastdds-mtu.xml')}, 'fastdds'),
    (NONE, {FILES[0]: str(DDS / 'fastdds-mtu.xml')}, NONE),
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


def complaints(path: Path) -> str:
    """Return what Fast DDS says about a file when a participant is made."""
    environment = {**os.environ, **dict.fromkeys(FILES, str(path))}
    return subprocess.run(
        [sys.executable, '-c', 'import rclpy; rclpy.init(); rclpy.create_node("x")'],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=True).stdout


@pytest.mark.ros
@pytest.mark.usefixtures('domain_id')
def test_fast_dds_takes_every_profile(tmp_path: Path) -> None:
    wrong = tmp_path / 'wrong.xml'
    wrong.write_text((DDS / 'fastdds.xml').read_text().replace('heartbeatPeriod', 'heartbeet'))
    assert 'XMLPARSER' in complaints(wrong)
    for name in SHIPPED:
        assert complaints(DDS / f'{name}.xml') == ''


@pytest.mark.ros
def test_what_the_link_loses_is_repeated_soon(lossy: NetLab, domain_id: int) -> None:
    seconds = {}
    with ExitStack() as stack:
        domains = {'fastdds': domain_id, NONE: stack.enter_context(own_domain())}

        def start(profile: str, side: str, code: str) -> subprocess.Popen[str]:
            environment = {
                **{name: value for name, value in os.environ.items() if name not in FILES},
                **profile_environment(profile), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
                'ROS_DOMAIN_ID': str(domains[profile])}
            process = stack.enter_context(subprocess.Popen(
                [*lossy.command(side), sys.executable, '-c', code], env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            return process

        servers = [start(profile, SERVER, SERVE) for profile in ('fastdds', NONE)]
        clients = {profile: start(profile, ROBOT, CALL) for profile in ('fastdds', NONE)}
        for process in (*servers, *clients.values()):
            assert process.stdout is not None
            assert process.stdout.readline() in ('serves\n', 'answered\n')
        lose(lossy, 20)
        for client in clients.values():
            assert client.stdin is not None
            client.stdin.write('\n')
            client.stdin.flush()
        for profile, client in clients.items():
            assert client.stdout is not None
            took = sorted(json.loads(client.stdout.readline()))
            seconds[profile] = took[int(0.9 * len(took))]
    # By chance of nine in ten a request and its answer are repeated within a few heartbeats,
    # of 0.03 s with the profile, of 3 s without.
    assert seconds['fastdds'] < 1.0
    assert seconds[NONE] > 5 * seconds['fastdds']
