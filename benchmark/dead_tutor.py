# SPDX-License-Identifier: Apache-2.0
"""
A tutor that is killed at random moments, and started again: what its robot notices, and when.

The nodes have the DDS profile that the launch files give them.

benchmark/dead_tutor.py [--kills 10] [--seed 0] [--labels] [--keep]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
import os
from pathlib import Path
import random
import signal
import tempfile
import threading
import time

from loopback import film, TUTOR
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from shadowtutor_msgs.msg import StudentStatus, TutorStatus

from shadowtutor_ros.assets import clip, teacher_weights
from shadowtutor_ros.dds import profile_environment
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.monitor.fleet import Fleet
from shadowtutor_ros.monitor.words import Level, student_state, tutor_state
from shadowtutor_ros.nodes import qos

CAMERA = 'camera/image_raw'
PATIENCE = 240.0  # seconds for anything at all
MOMENTS = 3.0  # seconds after an update within which the tutor is killed


class TrialFailed(ShadowTutorError):
    """Something that must come did not come."""


@dataclass(frozen=True)
class Kill:
    """
    One death; times in seconds.

    ``noticed`` after the kill, ``learnt`` from the new tutor's readiness to the robot's first
    update, of which the teacher took ``teacher`` and the lesson of so many ``steps`` ``lesson``.
    ``busy``: a key frame was at the tutor. ``shown``: the dashboard had the robot as failed when
    it was noticed, and as good after the update.
    """

    noticed: float
    learnt: float
    teacher: float
    lesson: float
    steps: int
    busy: bool
    quality: int
    shown: bool


class Witness:
    """What /student and /tutor say, and when; feeds a dashboard's fleet."""

    def __init__(self, domain_id: int) -> None:
        self.fleet = Fleet()
        self.student: StudentStatus | None = None
        self.tutor: TutorStatus | None = None
        self.heard_at = 0.0
        self._changed = threading.Condition()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = rclpy.create_node('witness', context=self._context)
        self._node.create_subscription(
            StudentStatus, '/student/status', self._on_student, qos.STATE)
        self._node.create_subscription(TutorStatus, '/tutor/status', self._on_tutor, qos.STATE)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='witness')

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        rclpy.shutdown(context=self._context)
        self._thread.join()
        self._node.destroy_node()

    def wait(self, what: str, condition: Callable[[], bool]) -> float:
        """Return when the status came that made the condition true, in time.monotonic()."""
        with self._changed:
            if not self._changed.wait_for(condition, PATIENCE):
                raise TrialFailed(f'{what}: not within {PATIENCE:g} s; last {self.student}')
            return self.heard_at

    @property
    def updates(self) -> int:
        """How many the robot has applied."""
        return int(self.student.updates_applied) if self.student is not None else 0

    def wait_for_update(self) -> float:
        """Return when one more has been applied."""
        before = self.updates
        return self.wait('an update', lambda: self.updates > before)

    def level(self) -> Level:
        """Return how the dashboard shows the robot."""
        student, = self.fleet.view(time.monotonic()).students
        return student_state(student)[1]

    def tutor_level(self) -> Level:
        """Return how the dashboard shows the tutor."""
        tutor, = self.fleet.view(time.monotonic()).tutors
        return tutor_state(tutor)[1]

    def _on_student(self, status: StudentStatus) -> None:
        with self._changed:
            self.student, self.heard_at = status, time.monotonic()
            self.fleet.hear_student('/student', status, self.heard_at)
            self._changed.notify_all()

    def _on_tutor(self, status: TutorStatus) -> None:
        with self._changed:
            self.tutor, self.heard_at = status, time.monotonic()
            self.fleet.hear_tutor('/tutor', status, self.heard_at)
            self._changed.notify_all()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()


def run(
    video: Path, tutor: Mapping[str, object], student: Mapping[str, object], kills: int,
    seed: int, logs: Path, on_kill: Callable[[Kill], None] = lambda kill: None,
) -> list[Kill]:
    """Kill the tutor so many times; raise TrialFailed or ProcessDied."""
    moments, found = random.Random(seed), []
    with ExitStack() as stack:
        domain_id = stack.enter_context(own_domain())
        os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
        environment = {**os.environ, **profile_environment('fastdds'),
                       'ROS_DOMAIN_ID': str(domain_id), 'PYTHONUNBUFFERED': '1'}
        witness = stack.enter_context(Witness(domain_id))

        def node(name: str, parameters: Mapping[str, object]) -> NodeProcess:
            return stack.enter_context(NodeProcess(
                f'{name}_node', parameters, logs / f'{name}.log', {'image': CAMERA}, environment))

        process = node('tutor', tutor)
        node('student', student)
        node('replay', {
            'source': str(video.resolve()), 'loop': True, 'stamps': 'media'})
        for _ in range(kills):
            witness.wait_for_update()
            time.sleep(moments.uniform(0, MOMENTS))
            assert witness.student is not None
            busy = witness.student.link == StudentStatus.LINK_BUSY
            killed = time.monotonic()
            process.stop(signal.SIGKILL)
            noticed = witness.wait('the loss', lambda: witness.student is not None and
                                   witness.student.link == StudentStatus.LINK_FAILED)
            shown = witness.level() is Level.BAD
            witness.tutor = None
            process = node('tutor', tutor)
            ready = witness.wait('a tutor', lambda: witness.tutor is not None
                                 and witness.tutor.active)
            learnt = witness.wait_for_update()
            assert witness.student is not None
            kill = Kill(noticed - killed, learnt - ready, witness.student.teacher_ms / 1e3,
                        witness.student.training_ms / 1e3, witness.student.steps, busy,
                        witness.student.jpeg_quality,
                        shown and witness.level() is witness.tutor_level() is Level.GOOD)
            found.append(kill)
            on_kill(kill)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--video', type=Path, help="default: the demo's")
    parser.add_argument('--kills', type=int, default=10)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--labels', action='store_true',
                        help='a made video and its label maps in place of clip and network')
    parser.add_argument('--keep', action='store_true',
                        help='the tutor has a state_folder, and so goes on where it was killed')
    options = parser.parse_args(arguments)
    student = {'goal_timeout': 60.0, 'threads': 1}
    print('noticed s   first update after readiness s   teacher s   lesson s   steps   '
          'key frame under way   quality   dashboard')

    def on_kill(kill: Kill) -> None:
        print(f'{kill.noticed:9.2f} {kill.learnt:34.2f} {kill.teacher:11.2f} {kill.lesson:10.2f} '
              f'{kill.steps:7} {kill.busy!s:>21} {kill.quality:9} '
              f'{"right" if kill.shown else "wrong":>11}', flush=True)

    with tempfile.TemporaryDirectory() as logs:
        if options.labels:
            video, labels = film(Path(logs))
            tutor = {**TUTOR, 'teacher_weights': str(labels)}
        else:
            video = options.video or clip()
            tutor = {'teacher': 'yolo', 'teacher_weights': str(teacher_weights('yolov5s-seg.pt')),
                     'threads': 1}
        if options.keep:
            tutor['state_folder'] = str(Path(logs) / 'state')
        run(video, tutor, student, options.kills, options.seed, Path(logs), on_kill)


if __name__ == '__main__':
    main()
