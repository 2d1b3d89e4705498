# SPDX-License-Identifier: Apache-2.0
"""Students and a tutor that say what a test wants them to say, over real topics."""

from array import array
from collections.abc import Callable, Sequence
import math
import time
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.msg import ClassMap, Lesson, StreamStatus, StudentStatus, TutorStatus

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.nodes import qos


def wait_until(condition: Callable[[], bool], timeout: float = 30.0) -> None:
    """Wait for ``condition``; fail after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f'not within {timeout:g} s'
        time.sleep(0.02)


def status(stream_id: str, **values: Any) -> StudentStatus:
    """Return the status of a student that runs and was taught once, but for ``values``."""
    return StudentStatus(**{
        'stream_id': stream_id, 'state': StudentStatus.RUNNING, 'version': 1, 'stride': 8,
        'staleness_seconds': 0.4, 'staleness_frames': 10, 'initial_metric': 0.25, 'metric': 0.75,
        'steps': 5, 'updates_applied': 1, 'key_frames': 1, 'inference_ms': 12.0,
        'turnaround_ms': 420.0, 'goodput_kbps': math.nan, 'round_trip_ms': math.nan, **values})


def image(pixels: np.ndarray, format: str) -> CompressedImage:
    data = cv2.imencode(f'.{format}', pixels)[1]
    return CompressedImage(format=format, data=array('B', data.tobytes()))


def lesson(
    stream_id: str, frame: np.ndarray, label: np.ndarray, mask: np.ndarray, **values: Any,
) -> Lesson:
    """Return a lesson on the BGR ``frame``; label and mask are class ids."""
    return Lesson(**{
        'stream_id': stream_id, 'sequence': 1, 'version': 1, 'initial_metric': 0.25,
        'metric': 0.75, 'steps': 5, 'key_frame': image(frame, 'jpeg'),
        'label': image(label, 'png'), 'mask': image(mask, 'png'), **values})


class Robots:
    """One node that publishes for any number of students and for the tutor /tutor."""

    def __init__(self, domain_id: int, classes: ClassSet) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = Node('robots', context=self._context)
        self._statuses: dict[str, Any] = {}
        self._previews: dict[str, Any] = {}
        self._tutor = self._node.create_publisher(TutorStatus, '/tutor/status', qos.STATE)
        self._lessons = self._node.create_publisher(Lesson, '/tutor/lessons', QoSProfile(depth=8))
        self._class_map = self._node.create_publisher(ClassMap, '/tutor/class_map', qos.STATE)
        self._class_map.publish(ClassMap(
            class_names=list(classes.names),
            colours=[part for colour in classes.colours for part in colour]))

    def student(self, node: str, status: StudentStatus) -> None:
        """Publish a status of the student ``node``."""
        if node not in self._statuses:
            self._statuses[node] = self._node.create_publisher(
                StudentStatus, f'{node}/status', qos.STATE)
        self._statuses[node].publish(status)

    def preview(self, node: str, pixels: np.ndarray) -> None:
        """Publish what the student ``node`` sees, BGR."""
        if node not in self._previews:
            self._previews[node] = self._node.create_publisher(
                CompressedImage, f'{node}/preview/compressed', qos.PICTURE)
        self._previews[node].publish(image(pixels, 'jpeg'))

    def leave(self, node: str) -> None:
        """Take the student ``node`` from the graph."""
        self._node.destroy_publisher(self._statuses.pop(node))

    def tutor(self, streams: Sequence[str] = (), **values: Any) -> None:
        """Publish a status of the tutor."""
        self._tutor.publish(TutorStatus(**{
            'active': True, 'teacher': 'a teacher', 'device': 'cpu', 'max_streams': 8,
            'load': 0.42, 'steps_share': 1.0,
            'streams': [StreamStatus(stream_id=stream) for stream in streams], **values}))

    def serialized_tutor(self, data: bytes) -> None:
        """Publish these bytes as a status of the tutor."""
        self._tutor.publish(data)

    def teach(self, lesson: Lesson) -> None:
        """Publish a lesson."""
        self._lessons.publish(lesson)

    @property
    def lookers_on(self) -> int:
        """How many subscribe to lessons."""
        return int(self._lessons.get_subscription_count())

    def close(self) -> None:
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)
