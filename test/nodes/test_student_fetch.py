# SPDX-License-Identifier: Apache-2.0
"""``shadowtutor student save`` while robot and tutor run."""

from pathlib import Path
import signal

import pytest
from shadowtutor_msgs.msg import StudentStatus
from system import START, System

from shadowtutor_ros import cli
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.groups import FULL

pytestmark = pytest.mark.ros


def test_the_student_of_a_robot_is_saved_from_tutor_and_state_folder(
    system: System, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    folder, out = tmp_path / 'robot', tmp_path / 'out.safetensors'
    system.tutor(teacher_weights=system.endless_labels())
    robot = system.student(goal_timeout=START, state_folder=str(folder), policy='paced',
                           min_stride=2, max_stride=2, update_delay=1)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace='lockstep', frames=8)  # every other one is a key frame
    system.masks(8)
    version = system.wait(lambda s: s.updates_applied == 4).version
    assert cli.main(['student', 'save', str(out)]) == 0
    assert f"version {version} of 'test', 9 classes" in capsys.readouterr().out
    assert robot.stop(signal.SIGINT) == 0
    kept = tmp_path / 'kept.safetensors'
    assert cli.main(['student', 'save', str(kept), '--state-folder', str(folder)]) == 0
    one, other = (load_checkpoint(path).weights(FULL) for path in (out, kept))
    assert all((one[name] == other[name]).all() for name in one)
    for options, message in (
            (['--stream', 'nobody'], "expected one of its streams, 'test'; got 'nobody'"),
            (['--tutor', '/none', '--timeout', '0.5'], 'no tutor at /none'),
            (['--state-folder', str(folder), '--stream', 'b'], "'test'; got 'b'")):
        assert cli.main(['student', 'save', str(out), *options]) == 1
        assert message in capsys.readouterr().err


def test_a_bad_name_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, message in (('out.pth', 'ends with .safetensors'),
                          ('none/out.safetensors', 'there is no folder')):
        assert cli.main(['student', 'save', str(tmp_path / name)]) == 1
        assert message in capsys.readouterr().err
