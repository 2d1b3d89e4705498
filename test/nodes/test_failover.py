# SPDX-License-Identifier: Apache-2.0
"""Two tutors for one robot, as processes: the next goes on from what the robot runs."""

import os
from pathlib import Path
import signal
import time

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
import pytest
from robots import wait_until
from shadowtutor_msgs.msg import StudentStatus
from system import START, System

from shadowtutor_ros.harness.processes import NodeProcess

pytestmark = pytest.mark.ros

A, B = '/tutor_a', '/tutor_b'
GOAL_TIMEOUT = 10.0
WHOLE = 900_000  # bytes: a whole student as fp16 has 967746


def two_tutors(
    system: System, link: dict[str, object] | None = None, **student: object,
) -> tuple[NodeProcess, NodeProcess]:
    """Start A, a robot that A serves, and B, which has another first student."""
    labels, link = system.endless_labels(), link or {}
    first = system.tutor('tutor_a', teacher_weights=labels, seed=1, **link)
    system.student(tutor=f'{A},{B}', min_stride=2, max_stride=4, goal_timeout=GOAL_TIMEOUT,
                   **link, **student)
    system.wait(lambda s: s.state == StudentStatus.RUNNING and s.tutor == A)
    second = system.tutor('tutor_b', teacher_weights=labels, seed=2, **link)
    assert system.collector.parameter(B, 'seed', START) == 2
    return first, second


def served_by(system: System, name: str, updates: int) -> StudentStatus:
    return system.wait(lambda s: s.tutor == name and s.updates_applied >= updates)


@pytest.mark.parametrize('transfer', ['pieces', 'action'])
@pytest.mark.parametrize('keyed', [False, True], ids=['no key', 'key'])
def test_a_tutor_that_is_killed_costs_neither_the_student_nor_a_download(
    system: System, tmp_path: Path, transfer: str, keyed: bool,
) -> None:
    key = tmp_path / 'key'
    key.write_bytes(b'0123456789abcdef')
    first, _ = two_tutors(
        system, {'link_key_file': str(key)} if keyed else {}, transfer=transfer)
    system.replay(loop=True)
    before = served_by(system, A, 3)
    assert before.handovers == 0

    killed = time.monotonic()
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    after = served_by(system, B, before.updates_applied + 1)
    assert time.monotonic() - killed < GOAL_TIMEOUT + 3.0
    # It was handed up what A gave last, and answered with a difference to that.
    assert (after.session_id, after.handovers) == (before.session_id, 1)
    assert after.version > before.version + 1000
    assert after.bytes_up - before.bytes_up > WHOLE
    later = served_by(system, B, after.updates_applied + 3)
    assert later.updates_rejected == 0
    assert later.bytes_down - before.bytes_down < WHOLE
    assert later.bytes_up - after.bytes_up < WHOLE


def test_who_is_there_first_serves_and_keeps_the_robot(system: System) -> None:
    labels = system.endless_labels()
    system.tutor('tutor_b', teacher_weights=labels)
    system.student(tutor=f'{A},{B}', min_stride=2, max_stride=4)
    assert system.wait(lambda s: s.state == StudentStatus.RUNNING).tutor == B
    system.tutor('tutor_a', teacher_weights=labels)
    assert system.collector.parameter(A, 'seed', START) is not None
    system.replay(loop=True)
    status = served_by(system, B, 5)
    assert status.handovers == 1


def test_a_tutor_that_stops_moving_is_replaced(system: System) -> None:
    """A process that is stopped is no more alive than a killed one, until it goes on."""
    first, _ = two_tutors(system)
    system.replay(loop=True)
    before = served_by(system, A, 3)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        during = served_by(system, B, before.updates_applied + 2)
    finally:
        os.kill(first.pid, signal.SIGCONT)
    after = served_by(system, B, during.updates_applied + 3)
    assert (after.session_id, after.updates_rejected) == (before.session_id, 0)


def test_a_lone_tutor_that_stands_still_for_a_moment_costs_no_key_frame(system: System) -> None:
    """It seems gone, and comes back with its answer."""
    tutor = system.tutor(teacher_weights=system.endless_labels())
    system.student(min_stride=2, max_stride=2, goal_timeout=START)
    system.replay(loop=True)
    for _ in range(2):
        before = system.wait(lambda s: s.updates_applied >= 2)
        os.kill(tutor.pid, signal.SIGSTOP)
        try:
            during = system.wait(lambda s: 'the tutor /tutor is gone' in s.detail)
            time.sleep(1.5)  # twice as long as a doubt lasts where another one could be asked
        finally:
            os.kill(tutor.pid, signal.SIGCONT)
        assert during.link == StudentStatus.LINK_FAILED
        after = system.wait(lambda s, applied=during.updates_applied: (
            s.updates_applied > applied + 1 and s.link != StudentStatus.LINK_FAILED))
        assert after.failures == before.failures == 0


def test_when_all_are_gone_the_status_says_so(system: System) -> None:
    first, second = two_tutors(system)
    system.replay(loop=True)
    served_by(system, A, 1)
    first.stop(signal.SIGKILL)
    served_by(system, B, 1)  # so the robot has met it
    second.stop(signal.SIGKILL)
    status = system.wait(lambda s: f'the tutors {A}, {B} are gone' in s.detail)
    assert status.link == StudentStatus.LINK_FAILED


def test_a_tutor_that_is_drained_hands_its_robots_over(system: System) -> None:
    two_tutors(system)
    system.replay(loop=True)
    before = served_by(system, A, 3)
    client = system.collector._node.create_client(ChangeState, f'{A}/change_state')
    assert client.wait_for_service(START)
    future = client.call_async(ChangeState.Request(
        transition=Transition(id=Transition.TRANSITION_DEACTIVATE)))
    wait_until(future.done, START)
    assert future.result().success
    after = served_by(system, B, before.updates_applied + 2)
    assert after.session_id == before.session_id
    assert after.failures <= before.failures + 2  # what it was taught, and the refusal
