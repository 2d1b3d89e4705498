# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from contextlib import ExitStack
import json
import os
import shutil
import subprocess
import sys

import pytest

from shadowtutor_ros.harness import netlab
from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable, ROBOT, SERVER, SIDES

DATAGRAM, COUNT = 64_000, 48  # 3 MB at once, as DDS writes a raw 720p frame
RECEIVE = f"""
import json, socket, time
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
receiver.settimeout(30)
receiver.bind(('0.0.0.0', 5000))
print('listens', flush=True)
times = []
for _ in range({COUNT}):
    receiver.recv({DATAGRAM})
    times.append(time.monotonic())
print(json.dumps(times[-1] - times[0]))
"""
SEND = f"""
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.SOL_SOCKET, 32, 8 << 20)  # SO_SNDBUFFORCE
for _ in range({COUNT}):
    sender.sendto(bytes({DATAGRAM}), (sys.argv[1], 5000))
"""


@pytest.fixture
def lab() -> Iterator[NetLab]:
    with ExitStack() as stack:
        try:
            lab = stack.enter_context(NetLab())
        except NetLabUnavailable as error:
            pytest.skip(str(error))
        yield lab


def namespaces() -> list[str]:
    """Return those that this process made."""
    listed = subprocess.run(['ip', 'netns', 'list'], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f'-{os.getpid()}-' in line]


def seconds_of_a_burst(lab: NetLab, sender: str, receiver: str) -> float:
    """Return the time from the first of COUNT datagrams to the last."""
    with subprocess.Popen([*lab.command(receiver), sys.executable, '-c', RECEIVE],
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'listens\n'
        subprocess.run([*lab.command(sender), sys.executable, '-c', SEND, lab.address(receiver)],
                       check=True)
        return float(json.loads(process.stdout.read()))


@pytest.mark.parametrize(('sender', 'receiver'), [(ROBOT, SERVER), (SERVER, ROBOT)])
def test_each_direction_is_delayed_and_nothing_is_dropped(
    lab: NetLab, sender: str, receiver: str,
) -> None:
    lab.shape(40)
    before = {side: lab.bytes_sent(side) for side in SIDES}
    megabits = (COUNT - 1) * DATAGRAM * 8e-6
    assert 0.7 * 40 < megabits / seconds_of_a_burst(lab, sender, receiver) < 1.05 * 40
    sent = {side: lab.bytes_sent(side) - before[side] for side in SIDES}
    assert DATAGRAM * COUNT < sent[sender] < 1.1 * DATAGRAM * COUNT
    assert sent[receiver] < 0.1 * DATAGRAM * COUNT
    assert [lab.drops(side) for side in SIDES] == [0, 0]


def test_the_limit_is_set_and_taken_away(lab: NetLab) -> None:
    unlimited = seconds_of_a_burst(lab, ROBOT, SERVER)
    lab.shape(20)
    assert seconds_of_a_burst(lab, ROBOT, SERVER) > 5 * unlimited
    for _ in range(2):
        lab.shape(None)
    assert seconds_of_a_burst(lab, ROBOT, SERVER) < 0.5 * COUNT * DATAGRAM * 8e-6 / 20


def test_a_queue_that_is_too_short_shows_as_drops(
    lab: NetLab, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netlab, '_QUEUE', '100kb')
    lab.shape(1)
    subprocess.run([*lab.command(ROBOT), sys.executable, '-c', SEND, lab.address(SERVER)],
                   check=True)
    assert lab.drops(ROBOT) > 0


def test_nothing_in_the_lab_reaches_another_network(lab: NetLab) -> None:
    routes = subprocess.run([*lab.command(ROBOT), 'ip', 'route'], capture_output=True, text=True,
                            check=True).stdout
    assert 'default' not in routes


def test_two_labs_at_once(lab: NetLab) -> None:
    with NetLab() as other:
        assert lab.command(ROBOT) != other.command(ROBOT)
        other.shape(1)
    lab.shape(1)


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_whatever_ends_it_both_namespaces_are_gone(
    lab: NetLab, error: type[BaseException],
) -> None:
    before = namespaces()

    def interrupted() -> None:
        with NetLab():
            assert len(namespaces()) == len(before) + 2
            raise error

    with pytest.raises(error):
        interrupted()
    assert namespaces() == before


def test_a_rate_must_be_above_zero(lab: NetLab) -> None:
    with pytest.raises(ValueError, match='mbps: expected more than 0, got 0'):
        lab.shape(0)


def test_a_kernel_that_cannot_shape_leaves_nothing_behind(
    lab: NetLab, monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = namespaces()
    monkeypatch.setattr(netlab, '_BURST', 'nonsense')
    with pytest.raises(NetLabUnavailable, match=r'tc .*nonsense.*: status 1'), NetLab():
        pass
    assert namespaces() == before


def test_without_the_tools_or_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    monkeypatch.setattr(shutil, 'which', lambda tool: f'/usr/sbin/{tool}')
    with pytest.raises(NetLabUnavailable, match='need root, this process runs as user 1000'):
        NetLab().__enter__()
    monkeypatch.setattr(shutil, 'which', lambda tool: None)
    with pytest.raises(NetLabUnavailable, match='expected the command ip, not there'):
        NetLab().__enter__()
