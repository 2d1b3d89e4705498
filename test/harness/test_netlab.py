# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from contextlib import ExitStack
import itertools
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

# Numbered packets; a line on stdin says that all are sent.
COUNT_ARRIVING = """
import json, socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
receiver.bind(('0.0.0.0', 5000))
print('listens', flush=True)
input()
receiver.setblocking(False)
numbers = []
try:
    while True:
        numbers.append(int(receiver.recv(100)))
except BlockingIOError:
    print(json.dumps(numbers))
"""
SEND_NUMBERS = """
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[2])):
    sender.sendto(str(number).encode(), (sys.argv[1], 5000))
"""
# What a side sends to a multicast group that it is in itself.
MULTICAST = """
import socket, sys
own = socket.inet_aton(sys.argv[1])
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(('', 5000))
group = socket.inet_aton('239.1.1.1')
receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + own)
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
for _ in range(100):
    sender.sendto(b'x', ('239.1.1.1', 5000))
receiver.setblocking(False)
count = 0
try:
    while receiver.recv(10):
        count += 1
except BlockingIOError:
    print(count)
"""
RECEIVE_TCP = """
import socket
server = socket.create_server(('0.0.0.0', 5000))
print('listens', flush=True)
connection, _ = server.accept()
size = 0
while received := connection.recv(1 << 16):
    size += len(received)
print(size)
"""
SEND_TCP = """
import socket, sys
with socket.create_connection((sys.argv[1], 5000)) as connection:
    connection.sendall(bytes(1_000_000))
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


def arriving(lab: NetLab, sender: str, receiver: str, count: int) -> list[int]:
    """Return the numbers of the packets that arrive of ``count`` sent."""
    with subprocess.Popen([*lab.command(receiver), sys.executable, '-c', COUNT_ARRIVING],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'listens\n'
        subprocess.run([*lab.command(sender), sys.executable, '-c', SEND_NUMBERS,
                        lab.address(receiver), str(count)], check=True)
        numbers: list[int] = json.loads(process.communicate('sent\n')[0])
        return numbers


def need_nft() -> None:
    if shutil.which('nft') is None:
        pytest.skip('no nft: install nftables')


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


def test_the_queue_holds_what_it_is_asked_to(lab: NetLab) -> None:
    lab.shape(0.1, queue=10_000)
    subprocess.run([*lab.command(ROBOT), sys.executable, '-c', SEND_NUMBERS,
                    lab.address(SERVER), '2000'], check=True)
    # Frames of 43 to 46 bytes; the bucket and what leaves meanwhile make room for more.
    fit = 2000 - lab.drops(ROBOT)
    assert 10_000 / 46 <= fit < 3 * 10_000 / 43
    with pytest.raises(ValueError, match='queue: expected more than 0, got 0'):
        lab.shape(1, queue=0)


@pytest.mark.parametrize(('sender', 'receiver'), [(ROBOT, SERVER), (SERVER, ROBOT)])
def test_packets_are_lost_by_chance_and_counted(
    lab: NetLab, sender: str, receiver: str,
) -> None:
    need_nft()
    lab.lose(20)
    sent = lab.bytes_sent(sender)
    numbers = arriving(lab, sender, receiver, 4000)
    assert 0.77 < len(numbers) / 4000 < 0.83  # four standard deviations are 0.025
    assert lab.bytes_sent(sender) - sent >= 4000 * 42  # the lost ones were on the wire
    assert len(numbers) + lab.lost(receiver) == pytest.approx(4000, abs=20)  # ARP and the like
    gaps = [after - before - 1 for before, after in itertools.pairwise(numbers)]
    assert gaps.count(1) > 3 * gaps.count(2) > 0


def test_each_fragment_is_lost_on_its_own(lab: NetLab) -> None:
    need_nft()
    lab.lose(20)
    subprocess.run([*lab.command(ROBOT), sys.executable, '-c', SEND, lab.address(SERVER)],
                   check=True)
    fragments = COUNT * -(-DATAGRAM // 1480)
    assert lab.lost(SERVER) == pytest.approx(0.2 * fragments, rel=0.25)


def test_tcp_puts_single_packets_on_the_wire(lab: NetLab) -> None:
    with subprocess.Popen([*lab.command(SERVER), sys.executable, '-c', RECEIVE_TCP],
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == 'listens\n'
        subprocess.run([*lab.command(ROBOT), sys.executable, '-c', SEND_TCP, lab.address(SERVER)],
                       check=True)
        assert process.stdout.read() == '1000000\n'
    shown = json.loads(subprocess.run(
        [*lab.command(ROBOT), 'ip', '-s', '-j', 'link', 'show', 'wire0'],
        capture_output=True, text=True, check=True).stdout)
    sent = shown[0]['stats64']['tx']
    assert sent['packets'] >= 1_000_000 / 1460
    assert sent['bytes'] / sent['packets'] <= 1514


def test_bursts_have_their_length(lab: NetLab) -> None:
    need_nft()
    lab.lose_in_bursts(10, 20)
    numbers = arriving(lab, ROBOT, SERVER, 4000)
    gaps = [after - before - 1 for before, after in itertools.pairwise(numbers)]
    long = [gap for gap in gaps if gap]
    assert len(long) == pytest.approx(4000 / 200, abs=2)
    assert long.count(20) >= len(long) - 3  # one more packet of the kernel's may be among them
    assert max(long) == 20


def test_a_cut_link_says_nothing_and_heals(lab: NetLab) -> None:
    need_nft()
    lab.cut()
    assert arriving(lab, ROBOT, SERVER, 100) == []
    assert lab.lost(SERVER) > 0
    up = subprocess.run([*lab.command(ROBOT), 'ip', '-br', 'link', 'show', 'wire0'],
                        capture_output=True, text=True, check=True).stdout
    assert 'UP' in up
    lab.lose(0)
    assert arriving(lab, ROBOT, SERVER, 100) == list(range(100))
    assert lab.lost(SERVER) == 0


def test_what_stays_on_one_side_is_not_lost(lab: NetLab) -> None:
    need_nft()
    lab.cut()
    assert arriving(lab, SERVER, SERVER, 100) == list(range(100))
    looped = subprocess.run([*lab.command(ROBOT), sys.executable, '-c', MULTICAST,
                             lab.address(ROBOT)], capture_output=True, text=True, check=True)
    assert looped.stdout == '100\n'


def test_without_nft_only_loss_is_missing(
    lab: NetLab, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, 'which', lambda tool: None)
    lab.lose(0)
    lab.shape(1)
    assert lab.lost(SERVER) == 0
    with pytest.raises(NetLabUnavailable, match='expected the command nft, not there'):
        lab.lose(1)


def test_impossible_losses_are_refused(lab: NetLab) -> None:
    with pytest.raises(ValueError, match='percent: expected 0 to 100, got 101'):
        lab.lose(101)
    with pytest.raises(ValueError, match='a length of 1 or more, got 5 and 0'):
        lab.lose_in_bursts(5, 0)


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
