# SPDX-License-Identifier: Apache-2.0
"""Node processes forked from one that has imported what takes long: torch alone takes seconds."""

from collections.abc import Mapping, Sequence
import multiprocessing
from multiprocessing.connection import wait
import os
from pathlib import Path
import runpy
import signal
import subprocess
import sys
import threading
from typing import IO

NODES = tuple(f'shadowtutor_ros.nodes.{name}_node'
              for name in ('student', 'tutor', 'teacher', 'helper', 'replay', 'dashboard'))
_SERVER = multiprocessing.get_context('forkserver')
_LATER = 'torch._dynamo', 'nicegui'  # what a tutor's first optimizer and a dashboard import
_SERVER.set_forkserver_preload([*NODES, *_LATER])


class WarmProcess:
    """
    What subprocess.Popen does for ``python -m MODULE ARGUMENT...``, without the imports.

    Such a process ends with this one, also when this one is killed.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: str,
    ) -> None:
        self._process = _SERVER.Process(
            target=_run, args=(arguments, dict(environment), str(Path.cwd()), log))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self._process.exitcode

    def send_signal(self, sign: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, sign)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(
    command: Sequence[str], env: Mapping[str, str] | None, stdin: int, stdout: IO[bytes],
    stderr: int,
) -> subprocess.Popen[bytes] | WarmProcess:
    """Start a node's process, as subprocess.Popen does where it needs other imports."""
    environment = os.environ if env is None else env
    python, option, module, *_ = command
    if ((python, option) == (sys.executable, '-m') and module in NODES
            and environment.get('PYTHONPATH') == os.environ.get('PYTHONPATH')):
        return WarmProcess(command[2:], environment, stdout.name)
    return subprocess.Popen(command, env=env, stdin=stdin, stdout=stdout, stderr=stderr)


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], folder: str, log: str,
) -> None:
    """In the new process: be what was asked for."""
    for target, (path, flags) in enumerate((
            (os.devnull, os.O_RDONLY), (log, os.O_WRONLY | os.O_APPEND))):
        os.dup2(os.open(path, flags), target)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv[:] = arguments
    sys.modules.pop(arguments[0], None)
    runpy.run_module(arguments[0], run_name='__main__', alter_sys=True)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
