# SPDX-License-Identifier: Apache-2.0
"""Tutors that come and go."""

from collections.abc import Iterator
import os
from pathlib import Path
import queue
import signal
import subprocess
import sys

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from robots import wait_until

from shadowtutor_ros.nodes.link.presence import Change, TutorPresence

pytestmark = pytest.mark.ros

TUTOR = """
import rclpy
from shadowtutor_ros.nodes.link.presence import show_presence
rclpy.init()
node = rclpy.create_node('tutor')
show_presence(node)
rclpy.spin(node)
"""


class Watch:
    """What a robot sees of ``/tutor``."""

    def __init__(self, context: Context) -> None:
        self.node = rclpy.create_node('robot', context=context)
        self.changes: queue.SimpleQueue[Change] = queue.SimpleQueue()
        self.presence = TutorPresence(self.node, '/tutor', self.changes.put)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)

    def next(self) -> Change:
        def came() -> bool:
            self._executor.spin_once(0.1)
            return not self.changes.empty()

        wait_until(came)
        return self.changes.get()


@pytest.fixture
def watch(context: Context) -> Iterator[Watch]:
    watch = Watch(context)
    yield watch
    watch.presence.close()
    watch.node.destroy_node()


@pytest.fixture
def tutors(domain_id: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that are ended."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def start(tutors: list[subprocess.Popen[bytes]], domain_id: int) -> subprocess.Popen[bytes]:
    tutors.append(subprocess.Popen(
        [sys.executable, '-c', TUTOR], cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL,
        env={**os.environ, 'ROS_DOMAIN_ID': str(domain_id)}))
    return tutors[-1]


def test_a_tutor_comes_and_goes_and_comes_again(
    watch: Watch, tutors: list[subprocess.Popen[bytes]], domain_id: int,
) -> None:
    assert not watch.presence.gone  # nobody knows yet
    killed = 0
    for end in signal.SIGTERM, signal.SIGKILL, signal.SIGKILL:
        tutor = start(tutors, domain_id)
        assert watch.next() is Change.NEW
        assert not watch.presence.gone
        tutor.send_signal(end)
        assert watch.next() is Change.LOST
        assert watch.presence.gone
        killed += end == signal.SIGKILL
        assert watch.presence.lost == killed  # those that ended well have said so


def test_a_tutor_that_had_no_cpu_is_the_same_afterwards(
    watch: Watch, tutors: list[subprocess.Popen[bytes]], domain_id: int,
) -> None:
    tutor = start(tutors, domain_id)
    assert watch.next() is Change.NEW
    for _ in range(2):
        tutor.send_signal(signal.SIGSTOP)
        assert watch.next() is Change.LOST
        assert watch.presence.gone
        tutor.send_signal(signal.SIGCONT)
        assert watch.next() is Change.BACK
        assert not watch.presence.gone
