# SPDX-License-Identifier: Apache-2.0
import os
import pty
import signal
import subprocess
import sys

import pytest
from robots import Robots, status

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.cli import main

pytestmark = pytest.mark.ros


def test_once_prints_who_is_there(
    domain_id: int, classes: ClassSet, capsys: pytest.CaptureFixture[str],
) -> None:
    robots = Robots(domain_id, classes)
    robots.student('/robot1/student', status('robot1', failures=3))
    robots.tutor(['robot1'])
    try:
        assert main(['top', '--once', '3']) == 0
    finally:
        robots.close()
    lines = capsys.readouterr().out.splitlines()
    assert 'LAST LESSONS' in lines[0]
    assert [line.split()[:2] for line in lines if line][1::2] == [
        ['robot1', 'running'], ['/tutor', 'teaching']]


def test_nobody_is_status_1(domain_id: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['top', '--once', '0.1']) == 1
    assert 'nobody publishes a status' in capsys.readouterr().out


def test_the_live_view_follows_and_ctrl_c_leaves_it(domain_id: int, classes: ClassSet) -> None:
    robots = Robots(domain_id, classes)
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-m', 'shadowtutor_ros.cli', 'top'], stdin=slave, stdout=slave,
        stderr=slave, env={**os.environ, 'TERM': 'xterm', 'COLUMNS': '120', 'LINES': '30'},
        # Whoever is started in the background ignores SIGINT, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    os.close(slave)
    seen = ''
    try:
        for name in ('robot1', 'robot2'):
            robots.student(f'/{name}/student', status(name))
            while name not in seen:
                seen += os.read(master, 4096).decode(errors='replace')
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
        robots.close()
