# SPDX-License-Identifier: Apache-2.0
"""A tutor whose workers are processes of a Ray cluster."""

import pytest
from robots import wait_until
from shadowtutor_msgs.msg import StudentStatus, TutorStatus
from system import System

from shadowtutor_ros.nodes.qos import STATE

pytestmark = pytest.mark.ros

LONG = 240.0  # seconds that a cluster may take to be there on a busy machine


def test_a_robot_learns_from_a_worker(system: System) -> None:
    pytest.importorskip('ray')
    statuses: list[TutorStatus] = []
    system.collector._node.create_subscription(
        TutorStatus, '/tutor/status', statuses.append, STATE)
    system.tutor(teacher_weights=system.endless_labels(), workers='ray', ray_address='local',
                 device='cpu')
    system.student(min_stride=2, max_stride=4)
    assert system.collector.wait_for_status(
        lambda s: s.state == StudentStatus.RUNNING, LONG) is not None
    system.replay(loop=True)
    status = system.wait(lambda s: s.updates_applied >= 3)
    assert (status.failures, status.updates_rejected) == (0, 0)
    wait_until(lambda: bool(statuses[-1].streams))
    worker, = statuses[-1].workers
    assert (worker.name, worker.ready, worker.streams) == ('worker1', True, 1)
    assert statuses[-1].streams[0].worker == 'worker1'
    assert (statuses[-1].teacher, statuses[-1].device) == ('labels', 'ray local')


def test_a_state_folder_is_refused(system: System) -> None:
    tutor = system.tutor(workers='ray', ray_address='local', state_folder=str(system.logs))
    wait_until(lambda: not tutor.running, LONG)
    assert 'state_folder: expected none with workers ray' in tutor.log.read_text()
