# SPDX-License-Identifier: Apache-2.0
"""A student node with helper nodes, as processes."""

from __future__ import annotations

import signal

import pytest
from shadowtutor_msgs.msg import StudentStatus
from system import System

from shadowtutor_ros.harness.processes import NodeProcess

pytestmark = pytest.mark.ros

HELPERS = ('helper_a', 'helper_b', 'helper_c')


def helper(system: System, name: str) -> NodeProcess:
    return system._start('helper_node', {'threads': 1, 'device': 'cpu'}, {'__node': name})


def works(status: StudentStatus) -> set[str]:
    return {device.name for device in status.devices if device.state == 'works'}


def dealt(status: StudentStatus) -> int:
    """Return the frames that helpers have had: a quick robot leaves them little."""
    return sum(device.frames for device in status.devices[1:])


def test_helpers_share_the_work_while_the_robot_learns(system: System) -> None:
    system.tutor(teacher_weights=system.endless_labels())
    processes = {name: helper(system, name) for name in HELPERS}
    system.student(share='frames', share_format='png', min_stride=4, max_stride=8)
    system.replay(loop=True, fps=150.0)  # more than the robot alone can do
    status = system.wait(
        lambda s: len(works(s)) == 4 and dealt(s) > 0 and s.updates_applied >= 3)
    assert status.devices[0].name == '/student'
    assert {device.name for device in status.devices[1:]} == {f'/{name}' for name in HELPERS}

    processes['helper_b'].stop(signal.SIGKILL)
    gone = system.wait(lambda s: '/helper_b' not in {device.name for device in s.devices})
    later = system.wait(lambda s: s.frames_processed > gone.frames_processed + 20)
    assert later.updates_rejected == 0
    stamps = [stamp for stamp, _ in system.masks(50)]
    assert stamps == sorted(stamps)
    helper(system, 'helper_b')
    system.wait(lambda s: '/helper_b' in works(s))


def test_without_helpers_a_robot_that_shares_works_alone(system: System) -> None:
    system.tutor(teacher_weights=system.endless_labels())
    system.student(share='auto')
    system.replay(loop=True)
    status = system.wait(lambda s: s.frames_processed > 10)
    assert status.share == 'alone: no helper has joined'
    assert [device.name for device in status.devices] == ['/student']


def test_who_does_not_share_says_so(system: System) -> None:
    system.tutor()
    system.student()
    status = system.wait(lambda s: s.state == StudentStatus.RUNNING)
    assert (status.share, status.devices) == ('off', [])
