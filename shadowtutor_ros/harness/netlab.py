# SPDX-License-Identifier: Apache-2.0
"""A robot and a server on one machine: two network namespaces joined by a shaped link."""

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

_ADDRESSES = {ROBOT: '10.77.0.1', SERVER: '10.77.0.2'}
# The bucket: what passes at once after a pause, so little that small samples are shaped too; tbf
# needs room for one segment of 1514 bytes.
_BURST = '4kb'
# The queue: several samples of 3 MB, an uncompressed 720p frame, with their headers. What is
# written at once must wait and never be dropped: this is for bandwidth, not for loss.
_QUEUE = '16mb'
_DEVICE = 'wire0'
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

    def __enter__(self) -> NetLab:
        """Make the lab; raise NetLabUnavailable where that is not permitted or not possible."""
        _check_tools()
        with ExitStack() as stack:
            for name in self._names.values():
                stack.callback(_delete, name)
                _run('ip', 'netns', 'add', name)
            _run('ip', 'link', 'add', _DEVICE, 'netns', self._names[ROBOT], 'type', 'veth',
                 'peer', 'name', _DEVICE, 'netns', self._names[SERVER])
            for side, name in self._names.items():
                _run('ip', '-n', name, 'address', 'add', f'{_ADDRESSES[side]}/24', 'dev', _DEVICE)
                for device in ('lo', _DEVICE):
                    _run('ip', '-n', name, 'link', 'set', device, 'up')
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

    def shape(self, mbps: float | None) -> None:
        """
        Limit each direction to ``mbps`` (10^6 bits of Ethernet frames per second).

        None takes the limit away. Raise ValueError for a rate that is not above 0.
        """
        if mbps is not None and not mbps > 0:
            raise ValueError(f'mbps: expected more than 0, got {mbps}')
        for name in self._names.values():
            if mbps is not None:
                _run('tc', '-n', name, 'qdisc', 'replace', 'dev', _DEVICE, 'root', 'tbf',
                     'rate', f'{mbps * 1e6:.0f}bit', 'burst', _BURST, 'limit', _QUEUE)
            elif 'tbf' in _run('tc', '-n', name, 'qdisc', 'show', 'dev', _DEVICE):
                _run('tc', '-n', name, 'qdisc', 'delete', 'dev', _DEVICE, 'root')

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

    def drops(self, side: str) -> int:
        """Return the packets that the full queue of ``side`` has dropped since ``shape``."""
        shown = json.loads(_run(
            'tc', '-n', self._names[side], '-s', '-j', 'qdisc', 'show', 'dev', _DEVICE))
        return sum(int(qdisc.get('drops', 0)) for qdisc in shown)


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
