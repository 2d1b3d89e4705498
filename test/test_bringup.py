# SPDX-License-Identifier: Apache-2.0
"""Two robots and a tutor from bringup.launch.py, where launch is installed."""

from contextlib import ExitStack
import os
from pathlib import Path
import signal
import subprocess
import sys

import numpy as np
from prefix import install
import pytest
from scene import Scene
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.harness.collector import Collector

pytest.importorskip('launch_ros', reason='launch is not among the ROS wheels')

pytestmark = pytest.mark.ros

START = 120.0  # seconds
END = 20.0  # an end takes one; launch would send SIGTERM after 5

# What `ros2 launch FILE ARGUMENT:=VALUE...` does.
LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

arguments = [tuple(word.split(':=')) for word in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(
    PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=arguments)]))
sys.exit(service.run())
"""


def test_two_robots_learn_and_ctrl_c_ends_everything_well(
    domain_id: int, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(tmp_path / 'prefix')
    monkeypatch.setenv(
        'AMENT_PREFIX_PATH', f"{tmp_path / 'prefix'}:{os.environ['AMENT_PREFIX_PATH']}")
    monkeypatch.setenv('ROS_LOG_DIR', str(tmp_path / 'log'))
    labels = tmp_path / 'labels.npz'
    np.savez_compressed(labels, labels=np.tile(np.stack(scene.labels), (200, 1, 1)))
    arguments = [
        'robots:=red,blue', f'source:={scene.video}', 'loop:=true', 'clock:=true',
        'teacher:=labels', f'teacher_weights:={labels}', 'goal_timeout:=60.0']
    output = tmp_path / 'output'
    launch = Path(__file__).parents[1] / 'launch/bringup.launch.py'
    with ExitStack() as stack, output.open('wb') as out:
        process = subprocess.Popen(
            [sys.executable, '-c', LAUNCH, str(launch), *arguments], stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        stack.callback(kill_group, process)
        for robot in ('red', 'blue'):
            collector = stack.enter_context(Collector(f'/{robot}/student', domain_id))
            assert collector.wait_for_status(
                lambda s: s.state == StudentStatus.RUNNING and s.updates_applied >= 2,
                START), output.read_text()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal: all of them, launch too
        process.wait(END)
    said = output.read_text()
    assert said.count('process has finished cleanly') == 5, said
    for word in ('process has died', 'Traceback', 'SIGTERM'):
        assert word not in said, said


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
