# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of this machine alone, whose parts can be killed like machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys
import time

from shadowtutor_ros.errors import ShadowTutorError

PATIENCE = 120.0  # seconds for a part to be there
# RAY_AUTH_TOKEN is the caller's.
_QUIET = {'RAY_USAGE_STATS_ENABLED': '0', 'RAY_AUTH_MODE': 'token'}


class ClusterFailed(ShadowTutorError):
    """A part of the cluster does not start."""


class Machine:
    """A raylet with all that it starts; the head is one, too."""

    def __init__(self, arguments: list[str], log: Path, environment: Mapping[str, str]) -> None:
        with log.open('ab') as file:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name('ray')), 'start', '--block',
                 '--num-cpus=1', '--num-gpus=0', '--object-store-memory=100000000',
                 '--disable-usage-stats', *arguments],
                stdout=file, stderr=file, env=environment, start_new_session=True)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def processes(self) -> set[int]:
        """Return the ids of all its processes."""
        return descendants(self._process.pid)

    def kill(self) -> None:
        """Have all of it gone at once, as when a machine loses its power."""
        for pid in [*self.processes(), self._process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


class Cluster:
    """A head, on which one worker finds room, and ``machines`` with room for one each."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is for Ray's own files; its path must be short."""
        self.address = f'127.0.0.1:{_free_port()}'
        self.folder = folder
        self.environment = {**os.environ, **_QUIET, 'RAY_TMPDIR': str(folder)}
        self.head = self._start(
            ['--head', f'--port={self.address.rpartition(":")[2]}', f'--temp-dir={folder}',
             '--include-dashboard=false'])
        self.machines: list[Machine] = []

    def add(self) -> Machine:
        """Start another machine."""
        self.machines.append(self._start([f'--address={self.address}']))
        return self.machines[-1]

    def close(self) -> None:
        """Leave nothing."""
        for machine in [*self.machines, self.head]:
            machine.kill()

    def processes(self) -> set[int]:
        """Return the ids of all processes of all machines that run."""
        return {pid for machine in (self.head, *self.machines) if machine.running
                for pid in machine.processes()}

    def wait(self) -> None:
        """Wait for the head to answer; raise ClusterFailed."""
        deadline = time.monotonic() + PATIENCE
        while not (self.folder / 'ray_current_cluster').is_file():  # which is written last
            if not self.head.running or time.monotonic() > deadline:
                raise ClusterFailed(f'the head at {self.address}: see {self.folder}/ray.log')
            time.sleep(0.2)

    def _start(self, arguments: list[str]) -> Machine:
        return Machine(arguments, self.folder / 'ray.log', self.environment)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Return a cluster whose head is there; nothing of it is left afterwards."""
    made = Cluster(folder)
    try:
        made.wait()
        yield made
    finally:
        made.close()


def descendants(pid: int) -> set[int]:
    """Return the ids of all processes below ``pid`` that live, in /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path('/proc').iterdir():
        with suppress(OSError, ValueError):
            after = (entry / 'stat').read_text().rpartition(') ')[2].split()
            if after[0] != 'Z':
                children.setdefault(int(after[1]), []).append(int(entry.name))
    found: set[int] = set()
    new = [pid]
    while new:
        below = children.get(new.pop(), [])
        found.update(below)
        new.extend(below)
    return found


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        return int(one.getsockname()[1])
