# SPDX-License-Identifier: Apache-2.0
"""Boxes over DDS: a robot for each task at once, and what is published of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import queue
import threading
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from robots import wait_until
from scene import Scene
from sensor_msgs.msg import Image
from shadowtutor_msgs.msg import StudentStatus
from system import CAMERA, LOSSLESS_STUDENT, START, System

from shadowtutor_ros.harness.collector import LOSSLESS
from shadowtutor_ros.harness.processes import NodeProcess
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.detection_topics import detections_to_msg, DetectionTopics, messages
from shadowtutor_ros.nodes.overlay_topics import OverlayTopics
from shadowtutor_ros.overlay import outline
from shadowtutor_ros.tasks.detection.boxes import answer_of, Boxes
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.pixels import image_to_bgr

pytestmark = pytest.mark.ros

EVERY = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE,
                   durability=DurabilityPolicy.TRANSIENT_LOCAL)
FRAMES = 300
OBJECTS = {'person': [50, 20, 64, 60], 'auto': [50, 60, 90, 80]}  # of frame 300
NEAR = 8.0  # pixels
BOXES = Boxes(np.array([[10, 20, 24, 60], [90, 60, 128, 80]], np.float32),
              np.array([0.75, 0.5], np.float32), np.array([0, 2], np.uint8))


@contextmanager
def spinning(domain_id: int) -> Iterator[Node]:
    """Yield a node that is spun by a thread."""
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('student', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.shutdown(context=context)


def corners_in(msg: Any) -> list[list[float]]:
    return [[box.center.position.x - box.size_x / 2, box.center.position.y - box.size_y / 2,
             box.center.position.x + box.size_x / 2, box.center.position.y + box.size_y / 2]
            for box in (detection.bbox for detection in msg.detections)]


def test_a_robot_for_each_task_at_once(system: System, domain_id: int) -> None:
    """A tutor teaches one task: two of them here, on the pictures of one camera."""
    scene, labels = system.scene, system.endless_labels()
    teaching = {'teacher_weights': labels, 'max_updates': 8, 'cold_start_updates': 48}
    system.tutor(**teaching)
    system.student()
    boxes = {'__ns': '/boxes'}
    for module, parameters, remappings in (
            ('tutor_node', {'teacher': 'labels', 'labels_fps': scene.fps, 'threads': 1,
                            'task': 'detection', **teaching}, boxes),
            ('student_node', {'stream_id': 'boxes', 'tutor': '/boxes/tutor', 'threads': 1,
                              'status_period': 0.1, **{
                                  name: value for name, value in LOSSLESS_STUDENT.items()
                                  if CAMERA in name},
                              **{f'qos_overrides./boxes/student/detections.publisher.{k}': v
                                 for k, v in LOSSLESS.items()}},
             {'image': CAMERA, **boxes})):
        system.stack.enter_context(NodeProcess(
            module, parameters, system.logs / f'boxes_{module}.log', remappings))
    received: queue.Queue[Any] = queue.Queue()
    with spinning(domain_id) as node:
        camera = node.create_publisher(Image, CAMERA, EVERY)
        node.create_subscription(
            messages.Detection2DArray, '/boxes/student/detections', received.put, EVERY)
        system.wait(lambda s: s.state == StudentStatus.RUNNING)
        wait_until(lambda: camera.get_subscription_count() == 2, START)

        def see(index: int) -> dict[str, list[float]]:
            """Show both robots a frame; return the boxes of the one that makes boxes."""
            stamp, frame = scene.stamp(index), scene.frames[index % len(scene.frames)]
            header = header_to_msg(stamp, f'camera {index}')
            camera.publish(image_from_array(frame, 'bgr8', header))
            mask, found = system.collector.next_mask(START), received.get(timeout=START)
            assert mask is not None
            assert mask[0] == stamp
            assert found.header == header
            return {detection.results[0].hypothesis.class_id: corners for detection, corners
                    in zip(found.detections, corners_in(found))}

        for index in range(FRAMES):
            see(index)
        status = system.wait(lambda s: s.frames_processed == FRAMES)
        assert status.failures == 0

        def know() -> bool:
            found, newest = see(FRAMES), system.collector.status
            return newest.updates_applied > 2 and found.keys() == OBJECTS.keys() and all(
                np.abs(np.subtract(found[name], OBJECTS[name])).max() < NEAR for name in found)

        wait_until(know, START)


def test_a_message_has_the_boxes_and_their_classes_names(info: StudentInfo) -> None:
    header = header_to_msg(123, 'camera')
    msg = detections_to_msg(BOXES, info.class_names, header)
    assert msg.header == header
    assert corners_in(msg) == BOXES.corners.tolist()
    assert [(d.header, d.id, [(r.hypothesis.class_id, r.hypothesis.score) for r in d.results])
            for d in msg.detections] == [
        (header, '', [(info.class_names[0], 0.75)]), (header, '', [(info.class_names[2], 0.5)])]


def test_the_overlay_is_made_while_somebody_subscribes(
    domain_id: int, info: StudentInfo, scene: Scene,
) -> None:
    pictures: queue.Queue[Image] = queue.Queue()
    found: queue.Queue[Any] = queue.Queue()
    with spinning(domain_id) as node:
        overlays = OverlayTopics(node)
        topics = DetectionTopics(node, overlays)
        node.create_subscription(
            messages.Detection2DArray, '~/detections', found.put, qos.PICTURE)
        assert not overlays.wanted
        node.create_subscription(Image, '~/overlay', pictures.put, qos.PICTURE)
        wait_until(lambda: overlays.wanted and node.count_subscribers('/student/detections') > 0)
        frame, header = scene.frames[0], header_to_msg(123, 'camera')

        def seen() -> bool:  # either side may see the other late
            topics.publish(header, CameraPicture.of(frame), answer_of(BOXES), info, 0.5)
            return not pictures.empty() and not found.empty()

        wait_until(seen)
    picture = pictures.get()
    assert picture.header == found.get().header == header
    np.testing.assert_array_equal(image_to_bgr(picture), outline(
        frame, BOXES.corners, BOXES.ids,
        [f'{info.class_names[0]} 75 %', f'{info.class_names[2]} 50 %'], info.class_colours, 0.5))
