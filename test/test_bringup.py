# SPDX-License-Identifier: Apache-2.0
"""Two robots and a tutor from bringup.launch.py, where launch_testing is installed."""

from contextlib import ExitStack
from pathlib import Path
import tempfile
import unittest

import numpy as np
import pytest

pytest.importorskip('launch_testing', reason='launch_testing is not among the ROS wheels')
pytest.importorskip('launch_ros', reason='launch_ros is not among the ROS wheels')

from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
import launch_testing
from launch_testing.actions import ReadyToTest
from scene import make_scene
from shadowtutor_msgs.msg import StudentStatus

from launch import LaunchDescription
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.harness.collector import Collector
from shadowtutor_ros.harness.domain import own_domain
from shadowtutor_ros.share import config_file

pytestmark = pytest.mark.ros

_CLAIM = ExitStack()  # while this module is there
DOMAIN = _CLAIM.enter_context(own_domain())
LAUNCH = Path(__file__).parents[1] / 'launch'
START = 120.0


@pytest.mark.launch_test
def generate_test_description() -> LaunchDescription:
    """Return the bringup of robots red and blue with a video of shapes for each."""
    scene = make_scene(Path(tempfile.mkdtemp()), ClassSet.load(config_file('lvs8', 'classes')), 40)
    labels = scene.label_maps.with_suffix('.npz')
    np.savez_compressed(labels, labels=np.tile(np.stack(scene.labels), (80, 1, 1)))
    arguments = {'robots': 'red,blue', 'source': str(scene.video), 'loop': 'true',
                 'clock': 'true', 'teacher': 'labels', 'teacher_weights': str(labels)}
    return LaunchDescription([
        SetEnvironmentVariable('ROS_DOMAIN_ID', str(DOMAIN)),
        SetEnvironmentVariable('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST'),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(LAUNCH / 'bringup.launch.py')),
            launch_arguments=arguments.items()),
        ReadyToTest()])


class TestRobots(unittest.TestCase):
    def test_both_learn(self) -> None:
        with ExitStack() as stack:
            for robot in ('red', 'blue'):
                collector = stack.enter_context(Collector(f'/{robot}/student', DOMAIN))
                assert collector.wait_for_status(
                    lambda s: s.state == StudentStatus.RUNNING and s.updates_applied >= 2, START)


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    def test_every_process_ends_well(self, proc_info: object) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
