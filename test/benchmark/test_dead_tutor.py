# SPDX-License-Identifier: Apache-2.0
"""A tutor's process is killed at random moments of a robot's work, and started again."""

from pathlib import Path

from dead_tutor import run
import numpy as np
import pytest
from scene import Scene

pytestmark = pytest.mark.ros


def test_a_robot_notices_soon_and_learns_from_the_next(scene: Scene, tmp_path: Path) -> None:
    labels = tmp_path / 'labels.npz'
    np.savez_compressed(labels, labels=np.tile(np.stack(scene.labels), (200, 1, 1)))
    tutor = {'teacher': 'labels', 'teacher_weights': str(labels), 'labels_fps': scene.fps,
             'checkpoint': 'random', 'threads': 1, 'threshold': 0.99, 'max_updates': 40,
             'cold_start_updates': 40}
    student = {'goal_timeout': 120.0, 'threads': 1, 'min_stride': 8, 'max_stride': 8}
    kills = run(scene.video, tutor, student, 3, 2, tmp_path)
    assert len(kills) == 3
    assert any(kill.busy for kill in kills)
    for kill in kills:
        assert kill.noticed < 2.0, kills  # 0.8 on a machine that is not busy
        assert kill.steps > 0
        assert kill.learnt - kill.lesson < 5.0, kills  # a lesson is as long as the machine is busy
        assert kill.quality == 80
        assert kill.shown
