# SPDX-License-Identifier: Apache-2.0
"""docs/tasks.md is a program of a hundred lines that learns, in one process and as nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import queue
import re
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from robots import wait_until
from sensor_msgs.msg import Imu
from shadowtutor_msgs.msg import StudentStatus
from std_msgs.msg import String

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.harness.collector import Collector
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.model.table import ARCHITECTURES
from shadowtutor_ros.nodes.answer_topics import ANSWER_TOPICS
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.student import KeyFrameSettings, student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.tasks.protocol import BadLabelling
from shadowtutor_ros.tasks.table import TASKS
from shadowtutor_ros.teacher.factory import create_teacher, TEACHERS
from shadowtutor_ros.teacher.protocol import Labelling

pytestmark = pytest.mark.ros

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / 'docs' / 'tasks.md').read_text()
PROGRAM = '\n'.join(re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL))
COMMANDS = re.findall(r'^python terrain.py (?:.*\\\n)*.*$', PAGE, re.MULTILINE)
TABLES: tuple[dict[str, Any], ...] = (
    TEACHERS, ARCHITECTURES, TASKS, ANSWER_TOPICS)  # type: ignore[assignment]
SHAKING = (3.0, 17.0, 0.0)  # Hz, of grass, gravel and standing
STAY = 15  # windows on each
# Not as fast as the machine is: every answer is waited for.
WAITING = ' -p policy:=paced -p goal_timeout:=60.0'
TIMEOUT = 180.0  # three programs that import torch at once


class Robot:
    """What its IMU says while it changes from grass to gravel, to standing and so on."""

    def __init__(self, rate: int, length: int) -> None:
        self._rate, self._length = rate, length
        self._random = np.random.default_rng(0)

    def terrain(self, index: int) -> int:
        return index // STAY % len(SHAKING)

    def readings(self, index: int) -> np.ndarray:
        """Return the acceleration and turning, nx6, of window ``index``."""
        readings = self._random.normal(0, 0.2, (self._length, 6))
        readings[:, 2] += 9.8
        if frequency := SHAKING[self.terrain(index)]:
            turns = 2 * np.pi * frequency * (
                np.arange(self._length) + index * self._length) / self._rate
            readings[:, 2] += 3 * np.sin(turns + self._random.uniform(0, 6))
            readings[:, 4] += 0.3 * np.sin(turns)
        return readings


@pytest.fixture
def page() -> Iterator[dict[str, Any]]:
    """The names of the program; its rows are there meanwhile."""
    before = [dict(table) for table in TABLES]
    names: dict[str, Any] = {'__name__': 'terrain'}
    try:
        exec(compile(PROGRAM, 'terrain.py', 'exec'), names)
        yield names
    finally:
        for table, rows in zip(TABLES, before):
            table.clear()
            table.update(rows)


def test_the_program_has_a_hundred_lines_at_most() -> None:
    assert len([line for line in PROGRAM.splitlines() if line.strip()]) <= 100


def test_a_stream_of_readings_is_learnt(page: dict[str, Any]) -> None:
    info = page['INFO']
    teacher = create_teacher('spectrum', ClassSet('terrain', info.class_names, (), {}))
    untaught = Student.random(info, 0)
    tutor = Tutor(teacher, Student.random(info, 0), TutorSettings(
        DistillSettings(practice='plain', replay=32)))
    first = tutor.first_student('robot')
    loop = StudentLoop(
        student_from_update(first, tutor.info),
        Scheduler(ScheduleSettings(min_stride=1, max_stride=4, policy=PACED)), LocalLink(tutor),
        'robot', KeyFrameSettings('png'), first.session_id, first.version)
    robot = Robot(page['RATE'], page['LENGTH'])
    taught, alone = [], []
    for index in range(240):
        frame, terrain = page['window'](robot.readings(index)), robot.terrain(index)
        assert (teacher.label(frame).class_ids == terrain).all()
        taught.append(loop.segment(frame)[0].argmax() == terrain)
        alone.append(untaught.segment(frame)[0].argmax() == terrain)
        loop.settle()
        assert not loop.counters.failed, loop.counters.detail
    assert np.mean(taught) > 0.75
    assert np.mean(taught[120:]) > 0.8  # rounding decides how much more
    assert np.mean(alone) < 0.5
    assert loop.counters.key_frames < 150


def test_a_class_that_the_student_does_not_have_is_refused(page: dict[str, Any]) -> None:
    with pytest.raises(BadLabelling, match='expected 3 classes, got 3'):
        page['Terrain']().target(Labelling(np.full((2, 64), 3, np.uint8)), (2, 64), 3)


@contextmanager
def running(command: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of the page, and end it."""
    path = os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', '')))
    command = command.replace('python ', f'exec {sys.executable} ', 1)
    with subprocess.Popen(['bash', '-c', command], cwd=folder,
                          env={**os.environ, 'PYTHONPATH': path}) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def imu(reading: np.ndarray) -> Imu:
    message = Imu()
    for vector, values in ((message.linear_acceleration, reading[:3]),
                           (message.angular_velocity, reading[3:])):
        vector.x, vector.y, vector.z = map(float, values)
    return message


def test_the_commands_of_the_page_are_robot_and_tutor(
    domain_id: int, tmp_path: Path, page: dict[str, Any],
) -> None:
    (tmp_path / 'terrain.py').write_text(PROGRAM)
    prepare, tutor, student, windows = COMMANDS
    with running(prepare, tmp_path) as process:
        assert process.wait(TIMEOUT) == 0
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('imu', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    said: queue.Queue[str] = queue.Queue()
    node.create_subscription(String, '/student/terrain', lambda msg: said.put(msg.data), 10)
    readings = node.create_publisher(Imu, '/imu/data', 100)

    def answer_to(window: list[Imu]) -> str:
        """Return what is said of a window, which may get lost while the nodes meet."""
        for _ in range(4):
            for reading in window:
                readings.publish(reading)
            deadline = time.monotonic() + 30
            while said.empty() and time.monotonic() < deadline:
                executor.spin_once(0.5)
            if not said.empty():
                return said.get()
        raise AssertionError('no answer')

    robot, names, right = Robot(page['RATE'], page['LENGTH']), page['INFO'].class_names, []
    with (running(tutor, tmp_path), running(student + WAITING, tmp_path),
          running(windows, tmp_path), Collector('/student', domain_id) as collector):
        status = collector.wait_for_status(
            lambda status: status.state == StudentStatus.RUNNING, TIMEOUT)
        assert status is not None
        wait_until(lambda: readings.get_subscription_count() == 1, TIMEOUT)
        for index in range(8 * STAY):
            window = [imu(reading) for reading in robot.readings(index)]
            right.append(answer_to(window) == names[robot.terrain(index)])
    # A tutor on a busy machine gives shorter lessons; one that teaches nothing has a third right.
    assert np.mean(right[5 * STAY:]) > 0.6
    node.destroy_node()
    rclpy.shutdown(context=context)
