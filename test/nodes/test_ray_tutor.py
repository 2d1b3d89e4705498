# SPDX-License-Identifier: Apache-2.0
"""A tutor whose workers are processes of a Ray cluster."""

from importlib.util import find_spec
from pathlib import Path
import signal

import pytest
from robots import wait_until
from shadowtutor_msgs.msg import StudentStatus, TutorStatus
from system import System

from shadowtutor_ros.nodes.qos import STATE
from shadowtutor_ros.runtime.state_file import unpack

pytestmark = [pytest.mark.ros, pytest.mark.skipif(
    find_spec('ray') is None, reason='needs the extra scale')]

LONG = 240.0  # seconds that a cluster may take to be there on a busy machine


def test_a_robot_learns_from_a_worker(system: System) -> None:
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


def test_what_workers_teach_is_in_the_tutors_state_folder(system: System, tmp_path: Path) -> None:
    ray = {'teacher_weights': system.endless_labels(), 'workers': 'ray', 'ray_address': 'local',
           'device': 'cpu', 'state_folder': str(tmp_path)}
    tutor = system.tutor(**ray)
    system.student(min_stride=2, max_stride=4)
    assert system.collector.wait_for_status(
        lambda s: s.state == StudentStatus.RUNNING, LONG) is not None
    system.replay(loop=True)
    before = system.wait(lambda s: s.updates_applied >= 3)
    assert tutor.stop(signal.SIGTERM) == 0  # Ray has not taken its place
    state, = tmp_path.glob('*.state')
    _, snapshot = unpack(state.read_bytes())
    assert snapshot['version'] >= before.version
    system.tutor(**ray)
    after = system.collector.wait_for_status(
        lambda s: s.updates_applied > before.updates_applied + 2, LONG)
    assert after is not None
    wait_until(lambda: bool(list(tmp_path.glob('*.state')))
               and unpack(state.read_bytes())[1]['key_frames'] > snapshot['key_frames'])
    assert unpack(state.read_bytes())[1]['session_id'] == snapshot['session_id']
