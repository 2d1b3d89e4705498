# SPDX-License-Identifier: Apache-2.0
"""The judgements are rcl's own rules; two of them are asked of rcl itself."""

import os
import subprocess
import sys

import pytest

from shadowtutor_ros.dds import FASTDDS, ZENOH
from shadowtutor_ros.doctor.discovery import domain, needs_multicast, reach
from shadowtutor_ros.doctor.finding import BOTH, OK, PROBLEM, ROBOT, SERVER, SKIPPED, WARNING

ONLY, RANGE, PEERS = 'ROS_LOCALHOST_ONLY', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'ROS_STATIC_PEERS'
SERVED = {'ROS_DISCOVERY_SERVER': '10.0.0.1:11811'}
HUMBLE = {'ROS_DISTRO': 'humble'}


@pytest.mark.parametrize(('number', 'level'), [
    ('', OK), ('0', OK), ('101', OK), ('102', WARNING), ('214', WARNING), ('215', OK),
    ('232', OK), ('233', PROBLEM), ('-1', PROBLEM), ('one', PROBLEM)])
def test_a_domain_is_judged_by_its_ports(number: str, level: str) -> None:
    finding = domain({'ROS_DOMAIN_ID': number})
    assert finding.level == level
    assert finding.fix.startswith('export ROS_DOMAIN_ID=' if level != OK else '')


@pytest.mark.parametrize(('environment', 'role', 'level'), [
    ({}, ROBOT, OK),
    ({RANGE: 'SUBNET'}, SERVER, OK),
    ({RANGE: 'SYSTEM_DEFAULT'}, SERVER, OK),
    ({ONLY: '0'}, ROBOT, OK),
    ({ONLY: '1'}, ROBOT, PROBLEM),
    ({ONLY: '1'}, BOTH, WARNING),
    ({ONLY: '1', RANGE: 'SUBNET', PEERS: '10.0.0.1'}, SERVER, PROBLEM),
    ({RANGE: 'LOCALHOST'}, ROBOT, WARNING),
    ({RANGE: 'LOCALHOST', PEERS: '10.0.0.1'}, ROBOT, OK),
    ({RANGE: 'OFF'}, BOTH, PROBLEM),
    ({RANGE: 'OFF', PEERS: '10.0.0.1'}, ROBOT, PROBLEM),
    ({RANGE: 'subnet'}, ROBOT, PROBLEM),
    ({PEERS: '10.0.0.1;robot.local'}, SERVER, OK),
    ({PEERS: '10.0.0.1,10.0.0.2'}, SERVER, PROBLEM),
    (SERVED, ROBOT, OK),
    ({**HUMBLE, RANGE: 'OFF'}, ROBOT, OK),
    ({**HUMBLE, PEERS: '10.0.0.1'}, ROBOT, WARNING),
    ({**HUMBLE, ONLY: '1'}, ROBOT, PROBLEM),
])
def test_an_environment_is_judged_by_whether_robot_and_server_meet(
    environment: dict[str, str], role: str, level: str,
) -> None:
    finding = reach(FASTDDS, role, environment)
    assert finding.level == level
    assert bool(finding.fix) == (level != OK)


def test_addresses_are_given_back_with_the_right_separator() -> None:
    assert reach(FASTDDS, BOTH, {PEERS: '10.0.0.1, 10.0.0.2'}).fix == (
        f"export {PEERS}='10.0.0.1;10.0.0.2'")


def test_zenoh_has_its_own_configuration() -> None:
    assert reach(ZENOH, ROBOT, {RANGE: 'OFF'}).level == SKIPPED


@pytest.mark.parametrize(('rmw', 'environment', 'needed'), [
    (FASTDDS, {}, True), (FASTDDS, {RANGE: 'LOCALHOST'}, False),
    (FASTDDS, {PEERS: '10.0.0.1'}, False), (FASTDDS, SERVED, False), (FASTDDS, {ONLY: '1'}, False),
    (FASTDDS, {**HUMBLE, PEERS: '10.0.0.1'}, True), (ZENOH, {}, False)])
def test_multicast_is_needed_where_nothing_else_finds_nodes(
    rmw: str, environment: dict[str, str], needed: bool,
) -> None:
    assert needs_multicast(rmw, environment) is needed


def said_by_rcl(**environment: str) -> str:
    return subprocess.run(
        [sys.executable, '-c', 'import rclpy; rclpy.init()'], env={**os.environ, **environment},
        capture_output=True, text=True, check=True).stderr


@pytest.mark.ros
def test_rcl_takes_localhost_for_a_range_that_it_does_not_know() -> None:
    assert 'assuming localhost only' in said_by_rcl(**{ONLY: '', RANGE: 'subnet'})


@pytest.mark.ros
def test_rcl_ignores_peers_where_only_this_machine_is_allowed() -> None:
    assert "'static_peers' will be ignored" in said_by_rcl(**{ONLY: '1', PEERS: '10.0.0.1'})
