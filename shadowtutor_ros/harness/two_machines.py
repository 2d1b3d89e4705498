# SPDX-License-Identifier: Apache-2.0
"""One video over the link between robot and server: with ShadowTutor, or offloaded naively."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import select
import subprocess
import sys
from typing import IO

from shadowtutor_ros.harness.collector import LOSSLESS
from shadowtutor_ros.harness.netlab import NetLab, ROBOT, SERVER, SIDES
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.harness.stream import (
    replay_process,
    Stream,
    StreamError,
    student_process,
    tutor_process,
)
from shadowtutor_ros.harness.watch import Seen
from shadowtutor_ros.share import config_folder

_CAMERA = '/camera/image_raw'
_MASK = '/teacher/mask'
_DEPTH = 10  # who discovers the other a little later still gets the first


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


class TwoMachines:
    """
    The robot and the server: the two sides of ``lab``, or without one both this machine.

    Every run writes its logs to the folder given with it. All raise StreamError when masks do
    not come or the link loses packets, ProcessDied when a node ends.
    """

    def __init__(self, lab: NetLab | None) -> None:
        self._lab = lab
        profile = str(config_folder() / 'dds' / 'lab.xml')
        self._environment = {
            **os.environ, 'ROS_DOMAIN_ID': str(1 + os.getpid() % 100), 'PYTHONUNBUFFERED': '1',
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET' if lab else 'LOCALHOST',
            # Its name up to Fast DDS 2 and from 3 on.
            'FASTRTPS_DEFAULT_PROFILES_FILE': profile, 'FASTDDS_DEFAULT_PROFILES_FILE': profile}

    def shadow(self, stream: Stream, logs: Path) -> LinkRun:
        """Run the tutor on the server, student and replay on the robot."""
        _empty(logs)
        with tutor_process(stream, logs, self._environment, self._on(SERVER)) as tutor, \
                student_process(stream, logs, self._environment, self._on(ROBOT)) as student:
            return self._follow(stream, logs, '/student', ROBOT, (tutor, student))

    def naive(self, stream: Stream, logs: Path) -> LinkRun:
        """
        Send every frame to a teacher node on the server and wait for its mask.

        ``stream.tutor`` are the teacher node's parameters. The masks are watched beside the
        teacher: watched on the robot, every one of them would travel twice.
        """
        _empty(logs)
        lossless = {f'qos_overrides.{topic}.{policy}': value
                    for topic in (f'{_MASK}.publisher', f'{_CAMERA}.subscription')
                    for policy, value in {**LOSSLESS, 'depth': _DEPTH}.items()}
        with NodeProcess('teacher_node', {**stream.tutor, **lossless}, logs / 'teacher.log',
                         {'image': _CAMERA}, self._environment, self._on(SERVER)) as teacher:
            return self._follow(stream, logs, '/teacher', SERVER, (teacher,))

    def _follow(
        self, stream: Stream, logs: Path, node: str, side: str, nodes: Sequence[NodeProcess],
    ) -> LinkRun:
        running = list(nodes)

        def alive() -> None:
            for process in running:
                process.check()

        with self._watcher(stream, logs, node, side) as printed:
            _line(printed, logs, alive)
            before = self._bytes_sent()
            with replay_process(stream, logs, self._environment, self._on(ROBOT),
                                f'{node}/mask') as replay:
                running.append(replay)
                seen = Seen.from_json(_line(printed, logs, alive))
            if self._lab is None:
                return LinkRun(seen, None)
            if dropped := sum(self._lab.drops(side) for side in SIDES):
                raise StreamError(f"the link's queue dropped {dropped} packets, expected none")
            return LinkRun(seen, self._bytes_sent() - before)

    @contextmanager
    def _watcher(self, stream: Stream, logs: Path, node: str, side: str) -> Iterator[IO[str]]:
        command = [*self._on(side), sys.executable, '-m', 'shadowtutor_ros.harness.watch', node,
                   str(stream.frames), repr(stream.fps)]
        with (logs / 'watch.log').open('wb') as log, subprocess.Popen(
                command + ['--student'] * (node == '/student'), env=self._environment,
                stdout=subprocess.PIPE, stderr=log, text=True) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.terminate()

    def _on(self, side: str) -> tuple[str, ...]:
        return self._lab.command(side) if self._lab else ()

    def _bytes_sent(self) -> int:
        return sum(self._lab.bytes_sent(side) for side in SIDES) if self._lab else 0


def _empty(logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for log in logs.glob('*.log'):
        log.unlink()


def _line(printed: IO[str], logs: Path, alive: Callable[[], None]) -> str:
    while not select.select([printed], [], [], 0.5)[0]:
        alive()
    line = printed.readline()
    if not line:
        raise StreamError(f'the masks did not come as expected; see {logs}/watch.log')
    return line
