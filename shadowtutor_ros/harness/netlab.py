# SPDX-License-Identifier: Apache-2.0
"""A robot and a server on one machine: two network namespaces, a shaped and lossy link."""

from __future__ import annotations

from contextlib import ExitStack
import itertools
import json
import os
import shutil
import subprocess
from types import TracebackType

from shadowtutor_ros.errors import ShadowTutorError

ROBOT, SERVER = 'robot', 'server'
SIDES = (ROBOT, SERVER)

_WAYS = (SIDES, SIDES[::-1])
_ADDRESSES = {ROBOT: '10.77.0.1', SERVER: '10.77.0.2'}
_ETHERNET = {ROBOT: '02:77:00:00:00:01', SERVER: '02:77:00:00:00:02'}
# The bucket: what passes at once after a pause, so little that small samples are shaped too; tbf
# needs room for one segment of 1514 bytes.
_BURST = '4kb'
# The queue: several samples of 3 MB, an uncompressed 720p frame, with their headers. What is
# written at once must wait and never be dropped: this is for bandwidth, not for loss.
_QUEUE = '16mb'
_DEVICE = 'wire0'
_TABLE = 'loss'
_UNIQUE = itertools.count()


class NetLabUnavailable(ShadowTutorError):
    """This process may not or cannot make network namespaces and shape traffic."""


class NetLab:
    """
    Two new network namespaces, ``robot`` and ``server``, and the one link between them.

    Used as a context manager: leaving it, for whatever reason, removes both. Nothing in them
    reaches any other network. Processes started in them must have ended by then.
    """

    def __init__(self) -> None:
        unique = f'{os.getpid()}-{next(_UNIQUE)}'
        self._names = {side: f'shadowtutor-{side}-{unique}' for side in SIDES}
        self._stack = ExitStack()
        self._lossy = False

    def __enter__(self) -> NetLab:
        """Make the lab; raise NetLabUnavailable where that is not permitted or not possible."""
        _check_tools()
        with ExitStack() as stack:
            for name in self._names.values():
                stack.callback(_delete, name)
                _run('ip', 'netns', 'add', name)
            _run('ip', 'link', 'add', _DEVICE, 'address', _ETHERNET[ROBOT],
                 'netns', self._names[ROBOT], 'type', 'veth', 'peer', 'name', _DEVICE,
                 'address', _ETHERNET[SERVER], 'netns', self._names[SERVER])
            for side, other in _WAYS:
                name = self._names[side]
                _run('ip', '-n', name, 'address', 'add', f'{_ADDRESSES[side]}/24', 'dev', _DEVICE)
                for device in ('lo', _DEVICE):
                    _run('ip', '-n', name, 'link', 'set', device, 'up')
                # TCP too puts single packets on the wire, so that each is lost on its own.
                _run('ip', '-n', name, 'link', 'set', _DEVICE, 'gso_max_segs', '1')
                # Without asking: a lost ARP packet would hold back everything behind it.
                _run('ip', '-n', name, 'neighbour', 'add', _ADDRESSES[other], 'dev', _DEVICE,
                     'lladdr', _ETHERNET[other], 'nud', 'permanent')
                _run('ip', '-n', name, 'route', 'add', '239.0.0.0/8', 'dev', _DEVICE)
            self.shape(1.0)  # tells at once whether tbf exists
            self.shape(None)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def shape(self, mbps: float | None, queue: int | None = None) -> None:
        """
        Limit each direction to ``mbps`` (10^6 bits of Ethernet frames per second).

        None takes the limit away. Up to ``queue`` bytes wait for their turn, what comes beyond
        is dropped; None: 16 MB, which nothing here fills. Raise ValueError for a rate or a
        queue that is not above 0.
        """
        for name, value in (('mbps', mbps), ('queue', queue)):
            if value is not None and not value > 0:
                raise ValueError(f'{name}: expected more than 0, got {value}')
        for side in self._names.values():
            if mbps is not None:
                _run('tc', '-n', side, 'qdisc', 'replace', 'dev', _DEVICE, 'root', 'tbf',
                     'rate', f'{mbps * 1e6:.0f}bit', 'burst', _BURST,
                     'limit', _QUEUE if queue is None else str(queue))
            elif 'tbf' in _run('tc', '-n', side, 'qdisc', 'show', 'dev', _DEVICE):
                _run('tc', '-n', side, 'qdisc', 'delete', 'dev', _DEVICE, 'root')

    def lose(self, percent: float) -> None:
        """
        Lose ``percent`` of the packets of each direction, each by chance; 0 heals the link.

        What is lost has taken its time on the wire and nobody is told. Raise ValueError for
        less than 0 or more than 100, NetLabUnavailable without nftables.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f'percent: expected 0 to 100, got {percent}')
        self._drop(f'numgen random mod 10000 < {round(percent * 100)}' if percent else None)

    def lose_in_bursts(self, percent: float, length: int) -> None:
        """
        Lose ``length`` packets in a row, then let so many pass that ``percent`` are lost.

        Raise ValueError unless 0 < percent < 100 and length is 1 or more.
        """
        if not 0 < percent < 100 or length < 1:
            raise ValueError('expected a percentage between 0 and 100 and a length of 1 or more, '
                             f'got {percent} and {length}')
        self._drop(f'numgen inc mod {round(length * 100 / percent)} < {length}')

    def cut(self) -> None:
        """Lose every packet while the interfaces stay up; ``lose`` ends it."""
        self._drop('')

    def command(self, side: str) -> tuple[str, ...]:
        """Return what to put before a command that is to run on ``side``: robot or server."""
        return 'ip', 'netns', 'exec', self._names[side]

    def address(self, side: str) -> str:
        """Return the IPv4 address of ``side``."""
        return _ADDRESSES[side]

    def bytes_sent(self, side: str) -> int:
        """Return the bytes of all Ethernet frames that ``side`` has put on the link so far."""
        links = json.loads(_run(
            'ip', '-n', self._names[side], '-s', '-j', 'link', 'show', _DEVICE))
        return int(links[0]['stats64']['tx']['bytes'])

    def lost(self, side: str) -> int:
        """Return the packets lost on the way to ``side`` since the last ``lose`` or ``cut``."""
        if not self._lossy:
            return 0
        listed = json.loads(_run(
            *self.command(side), 'nft', '-j', 'list', 'table', 'netdev', _TABLE))['nftables']
        counters = (part['counter'] for entry in listed for part in
                    entry.get('rule', {}).get('expr', ()) if 'counter' in part)
        return sum(int(counter['packets']) for counter in counters)

    def drops(self, side: str) -> int:
        """Return the packets that the full queue of ``side`` has dropped since ``shape``."""
        shown = json.loads(_run(
            'tc', '-n', self._names[side], '-s', '-j', 'qdisc', 'show', 'dev', _DEVICE))
        return sum(int(qdisc.get('drops', 0)) for qdisc in shown)

    def _drop(self, which: str | None) -> None:
        """
        Drop what comes over the wire and matches ``which``; None: nothing.

        The ingress hook sees single packets, before fragments are put together and after they
        had their turn on the link. It also sees the multicast that a side sends to itself:
        that does not carry the other side's address.
        """
        if which is None and not self._lossy:
            return
        if shutil.which('nft') is None:
            raise NetLabUnavailable('expected the command nft, not there: install nftables')
        for side, other in _WAYS:
            rule = (f'ether saddr {_ETHERNET[other]} {which} counter drop'
                    if which is not None else '')
            _run(*self.command(side), 'nft', f"""
                table netdev {_TABLE}
                delete table netdev {_TABLE}
                table netdev {_TABLE} {{
                    chain arriving {{
                        type filter hook ingress device "{_DEVICE}" priority 0; {rule}
                    }}
                }}""")
        self._lossy = which is not None


def _check_tools() -> None:
    for tool in ('ip', 'tc'):
        if shutil.which(tool) is None:
            raise NetLabUnavailable(f'expected the command {tool}, not there: install iproute2')
    if os.geteuid() != 0:
        raise NetLabUnavailable('network namespaces need root, '
                                f'this process runs as user {os.geteuid()}')


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise NetLabUnavailable(f'{" ".join(command)}: status {done.returncode}: '
                                f'{done.stderr.strip()}')
    return done.stdout


def _delete(name: str) -> None:
    subprocess.run(['ip', 'netns', 'delete', name], capture_output=True)
