# SPDX-License-Identifier: Apache-2.0
import threading

import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor

from shadowtutor_ros.nodes.toolkit.spin import _spin_until, WorkingNode

pytestmark = pytest.mark.ros


def test_a_node_goes_on_when_a_callback_raises(domain_id: int) -> None:
    rclpy.init(domain_id=domain_id)
    node = WorkingNode('test')
    ticks = threading.Semaphore(0)

    def tick() -> None:
        ticks.release()
        raise RuntimeError('a bad callback')

    node.create_timer(0.05, tick)
    stopped = threading.Event()
    running = threading.Thread(target=_spin_until, args=(stopped, node, MultiThreadedExecutor(2)))
    running.start()
    for _ in range(3):
        assert ticks.acquire(timeout=60)
    stopped.set()
    running.join(60)
    assert not running.is_alive()
    node.destroy_node()
    rclpy.shutdown()
