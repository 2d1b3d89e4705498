# SPDX-License-Identifier: Apache-2.0
"""Nodes as operating-system processes with their logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
import signal
from subprocess import DEVNULL, Popen, STDOUT, TimeoutExpired
import sys
from types import TracebackType

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.whole_file import make_folder


class ProcessDied(ShadowTutorError):
    """A node ended before its time."""


class NodeProcess:
    """
    ``python -m shadowtutor_ros.nodes.<module>`` with parameters and remappings.

    ``prefix`` is put before the command: ``('ip', 'netns', 'exec', ...)``. Used as a context
    manager: leaving it interrupts the process and waits for its end.
    """

    def __init__(
        self,
        module: str,
        parameters: Mapping[str, object],
        log: Path,
        remappings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.module = module
        self.log = log
        self._command = [*prefix, sys.executable, '-m', f'shadowtutor_ros.nodes.{module}',
                         '--ros-args']
        for name, value in parameters.items():
            self._command += ['-p', f'{name}:={_yaml(value)}']
        for name, target in (remappings or {}).items():
            self._command += ['-r', f'{name}:={target}']
        self._environment = dict(environment) if environment is not None else None
        self._process: Popen[bytes] | None = None

    def __enter__(self) -> NodeProcess:
        make_folder(self.log.parent)
        with self.log.open('ab') as log:
            self._process = Popen(self._command, env=self._environment, stdin=DEVNULL, stdout=log,
                                  stderr=STDOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGINT)

    @property
    def pid(self) -> int:
        """The process id; 0 before it is started."""
        return self._process.pid if self._process is not None else 0

    @property
    def running(self) -> bool:
        """Say whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise ProcessDied with the end of its log if the process has ended with an error."""
        code = self._process.poll() if self._process is not None else None
        if code:
            tail = '\n'.join(self.log.read_text(errors='replace').splitlines()[-15:])
            raise ProcessDied(f'{self.module} ended with status {code}; {self.log} says:\n{tail}')

    def stop(self, sign: signal.Signals) -> int:
        """Send ``sign``, wait, kill if it does not end in 10 s; return the exit status."""
        assert self._process is not None
        if self.running:
            self._process.send_signal(sign)
        try:
            return self._process.wait(10)
        except TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)
