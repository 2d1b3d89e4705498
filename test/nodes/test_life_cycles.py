# SPDX-License-Identifier: Apache-2.0
"""The student's and the tutor's life cycles, driven from outside as a manager does."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
import queue
import threading

from lifecycle_msgs.msg import Transition, TransitionEvent
from lifecycle_msgs.srv import ChangeState, GetState
import pytest
import rclpy
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from shadowtutor_msgs.msg import StudentStatus
from system import CAMERA, START, System

from shadowtutor_ros.harness.services import ask
from shadowtutor_ros.model.checkpoint import save_checkpoint
from shadowtutor_ros.model.student import Student, StudentInfo

pytestmark = pytest.mark.ros

UNCONFIGURED, INACTIVE, ACTIVE = 'unconfigured', 'inactive', 'active'


class Manager:
    """Asks nodes for transitions and sees the states that they go through."""

    def __init__(self, domain_id: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node('manager', context=self.context)
        self.states: queue.Queue[str] = queue.Queue()
        self.node.create_subscription(
            TransitionEvent, '/student/transition_event',
            lambda event: self.states.put(event.goal_state.label), 10)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self._spin)
        self.thread.start()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self.executor.spin()

    def change(self, name: str, transition: str) -> bool:
        request = ChangeState.Request(transition=Transition(
            id=getattr(Transition, f'TRANSITION_{transition.upper()}')))
        before = self.state(name)
        with self._client(ChangeState, f'{name}/change_state') as client:
            try:
                return bool(ask(client, request, START / 2).success)
            except TimeoutError:  # the answer was lost: a second question would ask for more
                return self.state(name) != before

    def state(self, name: str) -> str:
        with self._client(GetState, f'{name}/get_state') as client:
            return str(ask(client, GetState.Request(), START, tries=6).current_state.label)

    @contextmanager
    def _client(self, type_: type, name: str) -> Iterator[Client]:
        client = self.node.create_client(type_, name)
        yield client
        self.node.destroy_client(client)

    def close(self) -> None:
        rclpy.shutdown(context=self.context)
        self.thread.join()
        self.node.destroy_node()


@pytest.fixture
def manager(domain_id: int) -> Iterator[Manager]:
    manager = Manager(domain_id)
    yield manager
    manager.close()


def test_a_student_goes_through_its_life_twice(system: System, manager: Manager) -> None:
    system.tutor(teacher_weights=system.endless_labels())
    system.student(autostart=False, min_stride=2, max_stride=4)
    status = system.wait(lambda s: True)
    assert (status.state, status.detail) == (StudentStatus.INACTIVE, UNCONFIGURED)
    system.replay(loop=True)
    for _ in range(2):
        assert manager.state('/student') == UNCONFIGURED
        assert manager.change('/student', 'configure')
        system.wait(lambda s: s.state == StudentStatus.INACTIVE and s.session_id != 0)
        assert manager.node.count_subscribers(CAMERA) == 0

        assert manager.change('/student', 'activate')
        system.wait(lambda s: s.state == StudentStatus.RUNNING and s.updates_applied >= 2)

        assert manager.change('/student', 'deactivate')
        resting = system.wait(lambda s: s.detail.startswith(INACTIVE))
        assert resting.state == StudentStatus.INACTIVE
        enough = resting.updates_applied + 2
        said = len(system.collector.statuses)
        later = system.wait(lambda s, n=said: len(system.collector.statuses) > n + 5)
        assert later.frames_processed == resting.frames_processed
        assert later.failures == 0

        assert manager.change('/student', 'activate')
        again = system.wait(lambda s, enough=enough: s.updates_applied >= enough)
        assert again.session_id == resting.session_id
        assert again.frames_processed > resting.frames_processed
        assert again.updates_rejected == 0

        assert manager.change('/student', 'deactivate')
        assert manager.change('/student', 'cleanup')
        system.wait(lambda s: s.detail == UNCONFIGURED)
    assert manager.change('/student', 'unconfigured_shutdown')
    assert manager.state('/student') == 'finalized'


def test_a_student_that_shares_its_frames_goes_through_its_life_thrice(
    system: System, manager: Manager,
) -> None:
    system.tutor(teacher_weights=system.endless_labels())
    system._start('helper_node', {'threads': 1, 'device': 'cpu'})
    student = system.student(autostart=False, share='frames')
    system.wait(lambda s: True)
    system.replay(loop=True)
    threads = []
    for _ in range(3):
        assert manager.change('/student', 'configure')
        assert manager.change('/student', 'activate')
        # A quick robot leaves the helper nothing but what it is measured with.
        system.wait(lambda s: sum(device.state == 'works' for device in s.devices) == 2)
        assert manager.change('/student', 'deactivate')
        resting = system.wait(lambda s: s.detail.startswith(INACTIVE))
        assert [device.name for device in resting.devices] == ['/student', '/helper']
        assert manager.change('/student', 'cleanup')
        system.wait(lambda s: s.detail == UNCONFIGURED and not s.devices)
        threads.append(len(list(Path(f'/proc/{student.pid}/task').iterdir())))
    assert threads[2] <= threads[1]  # what a process makes once is there by then


def test_a_student_that_cannot_configure_can_try_again(
    system: System, manager: Manager, info: StudentInfo, tmp_path: Path,
) -> None:
    path = tmp_path / 'student.safetensors'
    system.student(autostart=False, checkpoint=str(path))
    system.wait(lambda s: True)
    while manager.states.empty():  # until the student has seen that somebody listens
        assert not manager.change('/student', 'configure')
        assert manager.state('/student') == UNCONFIGURED
    seen = [manager.states.get(timeout=START)]
    while seen[-1] != UNCONFIGURED:
        seen.append(manager.states.get(timeout=START))
    assert seen == ['configuring', 'errorprocessing', UNCONFIGURED][-len(seen):]
    assert 'errorprocessing' in seen
    failed = system.wait(lambda s: 'no such student checkpoint' in s.detail)
    assert failed.state == StudentStatus.INACTIVE

    save_checkpoint(Student.random(info, 1), path)
    assert manager.change('/student', 'configure')
    assert manager.change('/student', 'activate')
    system.wait(lambda s: s.state == StudentStatus.RUNNING and not s.detail)


def test_a_student_that_waits_for_its_tutor_is_deactivated_at_once(
    system: System, manager: Manager,
) -> None:
    system.tutor(threshold=0.99, cold_start_updates=1000,
                 teacher_weights=system.endless_labels())
    system.student(policy='paced', min_stride=2, max_stride=2, goal_timeout=10 * START)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    system.wait(lambda s: (s.key_frames, s.link) == (1, StudentStatus.LINK_BUSY))
    assert manager.change('/student', 'deactivate')
    # Not a moment before, when the key frame is still being given up.
    resting = system.wait(lambda s: (s.state == StudentStatus.INACTIVE
                                     and s.link != StudentStatus.LINK_BUSY))
    assert resting.updates_applied == 0


def test_a_transition_that_cannot_be_is_refused_and_nothing_happens(
    system: System, manager: Manager,
) -> None:
    student = system.student(autostart=False)
    system.wait(lambda s: True)
    assert not manager.change('/student', 'activate')
    assert manager.state('/student') == UNCONFIGURED
    assert student.running


def test_a_tutor_that_is_deactivated_tells_its_robots_and_goes_on_later(
    system: System, manager: Manager,
) -> None:
    system.tutor(teacher_weights=system.endless_labels(), autostart=False)
    system.student(min_stride=2, max_stride=4)
    assert manager.change('/tutor', 'configure')
    system.wait(lambda s: 'first student refused: the tutor is inactive' in s.detail)
    assert manager.change('/tutor', 'activate')
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    before = system.wait(lambda s: s.updates_applied >= 2)

    assert manager.change('/tutor', 'deactivate')
    failed = system.wait(lambda s: s.link == StudentStatus.LINK_FAILED)
    assert 'the tutor' in failed.detail
    system.wait(lambda s: s.frames_processed > failed.frames_processed + 10)

    assert manager.change('/tutor', 'activate')
    healed = system.wait(lambda s: s.updates_applied >= failed.updates_applied + 2)
    assert (healed.session_id, healed.updates_rejected) == (before.session_id, 0)
    assert healed.version > before.version
