# SPDX-License-Identifier: Apache-2.0
import pytest
import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from robots import wait_until
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.harness.collector import Collector
from shadowtutor_ros.nodes.qos import STATE

pytestmark = pytest.mark.ros

TIMEOUT = 60.0


def test_a_busy_collector_misses_no_status(domain_id: int) -> None:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('student', context=context)
    publisher = node.create_publisher(StudentStatus, '/student/status', STATE)
    collector = Collector('/student', domain_id)  # does not spin yet
    wait_until(lambda: publisher.get_subscription_count() == 1)
    for count in range(1, 6):
        publisher.publish(StudentStatus(key_frames=count))
        assert publisher.wait_for_all_acked(Duration(seconds=TIMEOUT))
    with collector:
        assert collector.wait_for_status(lambda s: s.key_frames == 5, TIMEOUT)
        assert [s.key_frames for s in collector.statuses] == [1, 2, 3, 4, 5]
    node.destroy_node()
    rclpy.shutdown(context=context)
