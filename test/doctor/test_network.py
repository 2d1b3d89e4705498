# SPDX-License-Identifier: Apache-2.0
"""Interfaces as the kernel has them: on this machine, and in network namespaces of our own."""

from collections.abc import Iterator
from contextlib import ExitStack
import json
import subprocess
import sys

import pytest

from shadowtutor_ros.doctor.finding import BOTH, OK, PROBLEM, ROBOT, SERVER, SKIPPED, WARNING
from shadowtutor_ros.doctor.network import (
    interfaces,
    judge_interfaces,
    judge_multicast,
    multicast,
    read_interfaces,
)
from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable, ROBOT as ROBOTS

# What the doctor finds inside a namespace.
FIND = """
from dataclasses import asdict
import json
from shadowtutor_ros.doctor.network import interfaces, multicast
print(json.dumps([asdict(interfaces('robot')), asdict(multicast(True, 'robot'))]))
"""


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with ExitStack() as stack:
        try:
            lab = stack.enter_context(NetLab())
        except NetLabUnavailable as error:
            pytest.skip(str(error))
        yield lab


def found(*prefix: str) -> list[dict[str, str]]:
    findings: list[dict[str, str]] = json.loads(subprocess.run(
        [*prefix, sys.executable, '-c', FIND], capture_output=True, text=True, check=True).stdout)
    return findings


def test_this_machine_has_its_loopback() -> None:
    loopback = next(i for i in read_interfaces() if i.name == 'lo')
    assert loopback.address == '127.0.0.1'
    assert interfaces(BOTH).level in (OK, WARNING)
    assert multicast(True, ROBOT).level in (OK, PROBLEM)
    assert multicast(False, ROBOT).level == SKIPPED


def test_on_a_link_that_is_up_a_multicast_packet_comes_back(lab: NetLab) -> None:
    link, packet = found(*lab.command(ROBOTS))
    assert (link['level'], link['found']) == (OK, f'wire0 {lab.address(ROBOTS)}')
    assert packet['level'] == OK
    assert 'came back on wire0' in packet['found']


def test_the_printed_command_gives_a_deaf_interface_its_multicast(lab: NetLab) -> None:
    subprocess.run([*lab.command(ROBOTS), 'ip', 'link', 'set', 'wire0', 'multicast', 'off'],
                   check=True)
    link, _ = found(*lab.command(ROBOTS))
    assert (link['level'], link['fix']) == (WARNING, 'sudo ip link set wire0 multicast on')
    command = link['fix'].removeprefix('sudo ').split()
    subprocess.run([*lab.command(ROBOTS), *command], check=True)
    assert found(*lab.command(ROBOTS))[0]['level'] == OK


def test_a_firewall_that_drops_multicast_is_noticed(lab: NetLab) -> None:
    rules = """table ip wall {
        chain in {
            type filter hook input priority 0;
            ip daddr 224.0.0.0/4 drop
        }
    }"""
    try:
        subprocess.run([*lab.command(ROBOTS), 'nft', rules], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f'no firewall: {error}')
    _, packet = found(*lab.command(ROBOTS))
    assert packet['level'] == PROBLEM
    assert 'wire0: the packet did not come back' in packet['found']
    assert 'ufw allow in proto udp to 224.0.0.0/4' in packet['fix']


def test_without_a_link_both_are_problems(lab: NetLab) -> None:
    subprocess.run([*lab.command(ROBOTS), 'ip', 'link', 'set', 'wire0', 'down'], check=True)
    link, packet = found(*lab.command(ROBOTS))
    assert (link['level'], packet['level']) == (PROBLEM, PROBLEM)
    assert 'sudo ip link set wire0 up' in link['fix']
    assert 'ip route add 239.0.0.0/8' in packet['fix']


@pytest.mark.parametrize(('role', 'level'), [(ROBOT, PROBLEM), (SERVER, PROBLEM), (BOTH, WARNING)])
def test_who_is_alone_on_a_machine_needs_no_network(role: str, level: str) -> None:
    assert judge_interfaces([], role).level == level
    assert judge_multicast('', 'Network is unreachable', role).level == level
