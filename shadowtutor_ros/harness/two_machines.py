# SPDX-License-Identifier: Apache-2.0
"""One video over the link between robot and server: with ShadowTutor, or offloaded naively."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, ExitStack, suppress
from dataclasses import dataclass, replace
import json
import os
from pathlib import Path
import queue
import select
import shutil
import subprocess
import sys
import threading
import time
from typing import IO

from shadowtutor_ros.harness.collector import LOSSLESS
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.netlab import NetLab, ROBOT, SERVER, SIDES
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.harness.trial import (
    camera_process,
    replay_process,
    student_process,
    Trial,
    TrialError,
    tutor_process,
)
from shadowtutor_ros.harness.watch import Seen
from shadowtutor_ros.share import config_folder
from shadowtutor_ros.whole_file import make_folder

_CAMERA = '/camera/image_raw'
_MASK = '/teacher/mask'
_DEPTH = 10  # who discovers the other a little later still gets the first
_START_TIMEOUT = 120.0
# What would change the transport if it were inherited.
_PROFILE_VARIABLES = (
    'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE',  # until 2, from 3 on
    'FASTDDS_BUILTIN_TRANSPORTS', 'RMW_FASTRTPS_USE_QOS_FROM_XML',
    'RMW_FASTRTPS_PUBLICATION_MODE', 'CYCLONEDDS_URI', 'ZENOH_SESSION_CONFIG_URI')


@dataclass(frozen=True)
class LinkRun:
    """
    What was seen, and the bytes of Ethernet frames that both sides sent meanwhile.

    ``wire_bytes`` is None without a NetLab.
    """

    seen: Seen
    wire_bytes: int | None

    @property
    def fps(self) -> float:
        """Frames per second from the first mask to the last."""
        times = self.seen.times
        return (len(times) - 1) / (times[-1] - times[0])


class Live:
    """A student at work, whose statuses come as numbers by field name, with their ``time``."""

    def __init__(
        self, printed: IO[str], running: Sequence[NodeProcess], ros_logs: Path,
        start_camera: Callable[[], None],
    ) -> None:
        self.statuses: list[dict[str, float]] = []
        self.start_camera = start_camera
        self._running = running
        self._ros_logs = ros_logs
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(printed,), daemon=True).start()

    @property
    def entered_ros(self) -> float:
        """
        Return when the student's process began with ROS, in seconds of the monotonic clock.

        That is after its imports and before it can talk to anybody. It stands in the name of
        its log file, <program>_<process>_<ms since 1970>.log.
        """
        name = next(self._ros_logs.glob('*.log')).stem
        return time.monotonic() - time.time() + int(name.rsplit('_', 1)[1]) * 1e-3

    def wait_for(
        self, wanted: Callable[[dict[str, float]], bool], timeout: float,
    ) -> dict[str, float] | None:
        """Return the next status that is ``wanted``; None after ``timeout`` s."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            for node in self._running:
                node.check()
            try:
                self.statuses.append(json.loads(self._lines.get(timeout=min(left, 0.5))))
            except queue.Empty:
                continue
            if wanted(self.statuses[-1]):
                return self.statuses[-1]
        return None

    def _read(self, printed: IO[str]) -> None:
        with suppress(ValueError):  # closed at the end
            for line in printed:
                self._lines.put(line)


class TwoMachines:
    """
    The robot and the server: the two sides of ``lab``, or without one both this machine.

    ``profile`` are the environment variables that choose the DDS profile of all nodes, none of
    which is inherited; None: the one for experiments on bandwidth, ``config/dds/lab.xml``.
    Every run writes its logs to the folder given with it. All raise TrialError when what they
    wait for does not come, ProcessDied when a node ends; ``shadow`` and ``naive`` also raise
    TrialError when the link's queue drops packets.
    """

    def __init__(
        self, lab: NetLab | None, profile: Mapping[str, str] | None = None,
    ) -> None:
        self._lab = lab
        self._environment = {
            **{name: value for name, value in os.environ.items()
               if name not in _PROFILE_VARIABLES},
            'PYTHONUNBUFFERED': '1',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET' if lab else 'LOCALHOST',
            **(_lab_profile() if profile is None else profile)}

    def shadow(self, trial: Trial, logs: Path) -> LinkRun:
        """Run the tutor on the server, student and replay on the robot."""
        _empty(logs)
        with self._own_domain(), \
                tutor_process(trial, logs, self._environment, self._on(SERVER)) as tutor, \
                student_process(trial, logs, self._environment, self._on(ROBOT)) as student:
            return self._follow(trial, logs, '/student', ROBOT, (tutor, student))

    def naive(self, trial: Trial, logs: Path) -> LinkRun:
        """
        Send every frame to a teacher node on the server and wait for its mask.

        ``trial.tutor`` are the teacher node's parameters. The masks are watched beside the
        teacher: watched on the robot, every one of them would travel twice.
        """
        _empty(logs)
        lossless = {f'qos_overrides.{topic}.{policy}': value
                    for topic in (f'{_MASK}.publisher', f'{_CAMERA}.subscription')
                    for policy, value in {**LOSSLESS, 'depth': _DEPTH}.items()}
        with self._own_domain(), NodeProcess(
                'teacher_node', {**trial.tutor, **lossless}, logs / 'teacher.log',
                {'image': _CAMERA}, self._environment, self._on(SERVER)) as teacher:
            return self._follow(trial, logs, '/teacher', SERVER, (teacher,))

    @contextmanager
    def live(self, trial: Trial, logs: Path, masks: Path | None = None) -> Iterator[Live]:
        """
        Run the tutor on the server and, once that is up, a student that waits for nobody.

        The masks go to the folder ``masks`` as <stamp in ns>.png. The camera is started by
        the Live that this gives.
        """
        _empty(logs)
        trial = replace(trial, student={'policy': 'live', **trial.student})
        ros_logs = logs / 'ros'
        shutil.rmtree(ros_logs, ignore_errors=True)
        with ExitStack() as stack:
            stack.enter_context(self._own_domain())
            tutor = stack.enter_context(
                tutor_process(trial, logs, self._environment, self._on(SERVER)))
            printed = stack.enter_context(self._watcher(
                logs, ROBOT, '/student', '--live', *(('--masks', str(masks)) if masks else ())))
            _line(printed, logs, tutor.check)
            _wait_until_it_teaches(tutor)
            student = stack.enter_context(student_process(
                trial, logs, {**self._environment, 'ROS_LOG_DIR': str(ros_logs)},
                self._on(ROBOT)))
            running = [tutor, student]

            def start_camera() -> None:
                running.append(stack.enter_context(
                    camera_process(trial, logs, self._environment, self._on(ROBOT))))

            yield Live(printed, running, ros_logs, start_camera)

    def _follow(
        self, trial: Trial, logs: Path, node: str, side: str, nodes: Sequence[NodeProcess],
    ) -> LinkRun:
        running = list(nodes)

        def alive() -> None:
            for process in running:
                process.check()

        options = ('--student',) if node == '/student' else ()
        with self._watcher(logs, side, node, str(trial.frames), repr(trial.fps),
                           *options) as printed:
            _line(printed, logs, alive)
            before = self._bytes_sent()
            with replay_process(trial, logs, self._environment, self._on(ROBOT),
                                f'{node}/mask') as replay:
                running.append(replay)
                seen = Seen.from_json(_line(printed, logs, alive))
            if self._lab is None:
                return LinkRun(seen, None)
            if dropped := sum(self._lab.drops(side) for side in SIDES):
                raise TrialError(f"the link's queue dropped {dropped} packets, expected none")
            return LinkRun(seen, self._bytes_sent() - before)

    @contextmanager
    def _own_domain(self) -> Iterator[None]:
        with own_domain() as domain:
            self._environment['ROS_DOMAIN_ID'] = str(domain)
            yield

    @contextmanager
    def _watcher(self, logs: Path, side: str, *arguments: str) -> Iterator[IO[str]]:
        command = [*self._on(side), sys.executable, '-m', 'shadowtutor_ros.harness.watch',
                   *arguments]
        with (logs / 'watch.log').open('wb') as log, subprocess.Popen(
                command, env=self._environment, stdout=subprocess.PIPE, stderr=log,
                text=True) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.terminate()

    def _on(self, side: str) -> tuple[str, ...]:
        return self._lab.command(side) if self._lab else ()

    def _bytes_sent(self) -> int:
        return sum(self._lab.bytes_sent(side) for side in SIDES) if self._lab else 0


def _lab_profile() -> dict[str, str]:
    path = str(config_folder() / 'dds' / 'lab.xml')
    return {'FASTRTPS_DEFAULT_PROFILES_FILE': path, 'FASTDDS_DEFAULT_PROFILES_FILE': path}


def _empty(logs: Path) -> None:
    make_folder(logs)
    for log in logs.glob('*.log'):
        log.unlink()


def _wait_until_it_teaches(tutor: NodeProcess) -> None:
    """The tutor's own line: asking it over ROS would be traffic on the link."""
    deadline = time.monotonic() + _START_TIMEOUT
    while ' teaches ' not in tutor.log.read_text(errors='replace'):
        tutor.check()
        if time.monotonic() > deadline:
            raise TrialError(f'the tutor was not up within {_START_TIMEOUT:g} s; '
                              f'see {tutor.log}')
        time.sleep(0.05)


def _line(printed: IO[str], logs: Path, alive: Callable[[], None]) -> str:
    while not select.select([printed], [], [], 0.5)[0]:
        alive()
    line = printed.readline()
    if not line:
        raise TrialError(f'the masks did not come as expected; see {logs}/watch.log')
    return line
