# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom: no frame may be lost because a tutor is slow."""

from pathlib import Path

import pytest

from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.harness.trial import replay_process, student_process, Trial

pytestmark = pytest.mark.ros


def seconds(process: NodeProcess, parameter: str) -> float:
    value, = (word.removeprefix(f'{parameter}:=') for word in process._command
              if word.startswith(f'{parameter}:='))
    return float(value)


def test_the_replay_waits_longer_than_the_student_does(tmp_path: Path) -> None:
    trial = Trial(tmp_path / 'video.avi', 10.0, 100)
    replay, student = (process(trial, tmp_path, {}) for process in (
        replay_process, student_process))
    assert seconds(replay, 'mask_timeout') > 2 * seconds(student, 'goal_timeout')
