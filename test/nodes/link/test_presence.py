# SPDX-License-Identifier: Apache-2.0
"""Tutors that come and go."""

import queue

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from robots import wait_until

from shadowtutor_ros.nodes.link.presence import show_presence, TutorPresence

pytestmark = pytest.mark.ros


def test_a_tutor_comes_and_goes_and_comes_again(context: Context, domain_id: int) -> None:
    robot = rclpy.create_node('robot', context=context)
    changes: queue.SimpleQueue[bool] = queue.SimpleQueue()
    presence = TutorPresence(robot, '/tutor', changes.put)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(robot)

    def change() -> bool:
        def came() -> bool:
            executor.spin_once(0.1)
            return not changes.empty()

        wait_until(came)
        return changes.get()

    assert not presence.gone  # nobody knows yet
    for _ in range(2):
        there = Context()
        rclpy.init(context=there, domain_id=domain_id)
        tutor = rclpy.create_node('tutor', context=there)
        show_presence(tutor)
        assert change()
        assert not presence.gone
        tutor.destroy_node()
        rclpy.shutdown(context=there)
        assert not change()
        assert presence.gone
    presence.close()
    robot.destroy_node()
