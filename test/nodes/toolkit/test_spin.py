# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading

import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor

from shadowtutor_ros.nodes.toolkit.spin import _spin_until, WorkingNode

pytestmark = pytest.mark.ros

ENDS = """
import atexit, os, signal, time
from concurrent.futures import ThreadPoolExecutor
from shadowtutor_ros.nodes.toolkit.spin import run, WorkingNode

class Node(WorkingNode):
    def __init__(self):
        super().__init__('short')
        self.timer = self.create_timer(0.1, self.interrupt)

    def interrupt(self):
        self.timer.cancel()
        ThreadPoolExecutor(1).submit(time.sleep, 3600)
        os.kill(os.getpid(), signal.SIGINT)

    def destroy_node(self):
        os.kill(os.getpid(), signal.SIGINT)  # from launch, after the terminal's
        time.sleep(0.1)
        super().destroy_node()

atexit.register(lambda: print('tidied up'))
run(Node)
"""


def test_a_node_goes_on_when_a_callback_raises(domain_id: int) -> None:
    rclpy.init(domain_id=domain_id)
    node = WorkingNode('test')
    ticks = threading.Semaphore(0)

    def tick() -> None:
        ticks.release()
        raise RuntimeError('a bad callback')

    node.create_timer(0.05, tick)
    stopped = threading.Event()
    running = threading.Thread(target=_spin_until, args=(stopped, node, MultiThreadedExecutor(2)))
    running.start()
    for _ in range(3):
        assert ticks.acquire(timeout=60)
    stopped.set()
    running.join(60)
    assert not running.is_alive()
    node.destroy_node()
    rclpy.shutdown()


PROGRAM = """
import os, signal, sys
from shadowtutor_ros.nodes.toolkit import spin
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode

spin._PAUSE = 0.1


class Failing(ManagedNode):
    starts, timer = 0, None

    def __init__(self):
        super().__init__('failing')
        self.declare_parameter('autostart', True)

    def configure(self):
        self.starts += 1
        if self.starts > int(sys.argv[1]):
            raise RuntimeError('no device')

    def activate(self):
        self.timer = self.every(0.01, self.tick)

    def deactivate(self):
        if self.timer is not None:
            self.destroy_timer(self.timer)
            self.timer = None

    def tick(self):
        if self.starts == 3:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            self.fail(RuntimeError(f'failure {self.starts}'))


spin.run(Failing, [])
"""


@pytest.mark.parametrize(('good_starts', 'status', 'last_words'), [
    (3, 0, 'cannot go on: RuntimeError: failure 2'),
    (1, 1, 'cannot configure: RuntimeError: no device')])
def test_a_node_that_fails_starts_again_and_ends_when_it_cannot(
    domain_id: int, good_starts: int, status: int, last_words: str,
) -> None:
    process = subprocess.run(
        [sys.executable, '-c', PROGRAM, str(good_starts)], capture_output=True, text=True,
        timeout=120)
    assert process.returncode == status, process.stderr
    assert 'cannot go on: RuntimeError: failure 1' in process.stderr
    assert last_words in process.stderr


@pytest.mark.usefixtures('domain_id')
def test_two_signals_end_it_well_whatever_its_threads_still_do() -> None:
    done = subprocess.run(
        [sys.executable, '-c', ENDS], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'tidied up\n', '')


@pytest.mark.usefixtures('domain_id')
def test_a_third_signal_ends_what_does_not_end_by_itself() -> None:
    program = ENDS.replace('time.sleep(0.1)', 'os.kill(os.getpid(), signal.SIGTERM)')
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGTERM


STARTS = """
import os, signal, time
from shadowtutor_ros.nodes.toolkit.spin import run, WorkingNode

class StubbornNode(WorkingNode):
    def __init__(self):
        super().__init__('stubborn')
        %s

run(StubbornNode)
"""


@pytest.mark.usefixtures('domain_id')
def test_a_signal_ends_a_node_that_still_starts() -> None:
    program = STARTS % 'os.kill(os.getpid(), signal.SIGINT); time.sleep(3600)'
    done = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


@pytest.mark.usefixtures('domain_id')
def test_a_node_that_cannot_start_says_so_under_its_name() -> None:
    program = STARTS % "raise ValueError('no camera')"
    done = subprocess.run(
        [sys.executable, '-c', program, '--ros-args', '-r', '__ns:=/red', '-r', '__node:=left'],
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert '[red.left]: ValueError: no camera' in done.stderr


@pytest.mark.usefixtures('domain_id')
def test_a_node_that_security_forbids_says_so_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / 'enclaves' / 'empty').mkdir(parents=True)
    secured = {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce',
               'ROS_SECURITY_KEYSTORE': str(tmp_path),
               'ROS_SECURITY_ENCLAVE_OVERRIDE': '/empty'}
    done = subprocess.run([sys.executable, '-c', STARTS % ''], env={**os.environ, **secured},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert 'RCLError: ' in done.stderr
    assert 'Traceback' not in done.stderr


EARLY = """
import os, signal, sys, time
from shadowtutor_ros.nodes.toolkit import spin
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.nodes.toolkit.spin import WorkingNode

def interrupt(place):
    if place == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

class Early(ManagedNode):
    def __init__(self):
        super().__init__('early')
        self.declare_parameter('autostart', True)
        interrupt('make')

    def configure(self):
        interrupt('configure')

    def activate(self):
        interrupt('activate')

init = spin.rclpy.init

def rclpy_init(*args, **more):
    interrupt('init')
    init(*args, **more)

spin.rclpy.init = rclpy_init
spin.run(Early, [])
"""


@pytest.mark.usefixtures('domain_id')
@pytest.mark.parametrize('place', ['init', 'make', 'configure', 'activate'])
def test_an_interrupt_during_the_start_ends_quietly(place: str) -> None:
    run = subprocess.run([sys.executable, '-c', EARLY, place], capture_output=True, text=True,
                         timeout=50, check=False)
    assert (run.returncode, run.stderr) == (0, '')
