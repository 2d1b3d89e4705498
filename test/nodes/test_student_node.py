# SPDX-License-Identifier: Apache-2.0
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
import queue
import threading
import time
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from robots import wait_until
from scene import Scene
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.msg import MaskPolygons, StudentStatus
from torch.nn import Module

from shadowtutor_ros.harness.collector import Collector, LOSSLESS
from shadowtutor_ros.model.checkpoint import save_checkpoint
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.student_node import StudentNode
from shadowtutor_ros.nodes.toolkit.managed import StartError
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.tasks.segmentation.outlines import filled
from shadowtutor_ros.tasks.table import TASKS
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.masks import mask_of
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.pixels import compressed_to_bgr, image_to_bgr
from shadowtutor_ros.wire.polygon_messages import outlines_of

pytestmark = pytest.mark.ros

TIMEOUT = 30.0


class Camera:
    """Publishes what it is told and sees what the student makes of it."""

    def __init__(
        self, node: Node, student: StudentNode, collector: Collector, type_: type, topic: str,
    ) -> None:
        self.node = node
        self.student = student
        self.collector = collector
        self.publisher = node.create_publisher(type_, topic, QoSProfile(depth=10))
        self.stamp = 0

    def send(self, msg: Image | CompressedImage) -> int:
        self.stamp += 1
        msg.header = header_to_msg(self.stamp, 'camera')
        self.publisher.publish(msg)
        return self.stamp

    def mask_of(self, msg: Image | CompressedImage) -> np.ndarray:
        stamp = self.send(msg)
        received = self.collector.next_mask(TIMEOUT)
        assert received is not None
        assert received[0] == stamp
        return received[1]

    def rejects(self, msg: Image | CompressedImage, message: str) -> None:
        before = self.collector.status.frames_rejected if self.collector.status else 0
        self.send(msg)
        status = self.collector.wait_for_status(
            lambda s: s.frames_rejected > before, TIMEOUT)
        assert status is not None
        assert message in status.detail


@pytest.fixture
def student(info: StudentInfo) -> Student:
    return Student.random(info, 5)


@pytest.fixture
def camera(
    domain_id: int, tmp_path: Path, student: Student, request: pytest.FixtureRequest,
) -> Iterator[Camera]:
    """A student node with a checkpoint and no tutor, in this process."""
    transport, share = getattr(request, 'param', ('raw', 'off'))
    type_, topic = ((Image, '/image') if transport == 'raw'
                    else (CompressedImage, '/image/compressed'))
    path = tmp_path / 'student.safetensors'
    save_checkpoint(student, path)
    overrides = {f'qos_overrides.{topic}.subscription': {'reliability': 'reliable'},
                 'qos_overrides./student/mask.publisher': LOSSLESS}
    arguments = ['--ros-args', '-p', f'checkpoint:={path}', '-p', 'status_period:=0.05',
                 '-p', 'precision:=fp32', '-p', 'overlay_opacity:=0.25',
                 '-p', 'max_pixels:=20000',
                 '-p', f'image_transport:={transport}', '-p', f'share:={share}']
    for name, values in overrides.items():
        for policy, value in values.items():
            arguments += ['-p', f'{name}.{policy}:={value}']
    rclpy.init(args=arguments, domain_id=domain_id)
    with Collector('/student', domain_id) as collector:
        node, publisher = StudentNode(), rclpy.create_node('camera', use_global_arguments=False)
        node.start()
        camera = Camera(publisher, node, collector, type_, topic)
        executor = MultiThreadedExecutor(2)
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin)
        thread.start()
        assert collector.wait_for_status(
            lambda s: s.state == StudentStatus.RUNNING
            and camera.publisher.get_subscription_count() == 1, TIMEOUT) is not None
        yield camera
        executor.shutdown()
        thread.join()
        node.destroy_node()
        publisher.destroy_node()
    rclpy.shutdown()


def image(pixels: np.ndarray, encoding: str) -> Image:
    return image_from_array(pixels, encoding, header_to_msg(0, ''))


def test_bad_images_are_counted_and_the_next_good_one_is_segmented(
    camera: Camera, student: Student, scene: Scene,
) -> None:
    frame = scene.frames[0]
    good = image(frame, 'bgr8')
    expected = student.segment(frame)
    np.testing.assert_array_equal(camera.mask_of(good), expected)

    camera.rejects(image(frame, '16SC3'), 'encoding: expected one of bgr8')
    camera.rejects(Image(encoding='bgr8'), 'image of 0x0: expected 1 to 20000 pixels')
    camera.rejects(image(np.zeros((200, 101, 3), np.uint8), 'bgr8'),
                   'image of 200x101: expected 1 to 20000 pixels')
    truncated = image(frame, 'bgr8')
    truncated.data = truncated.data[:1000]
    camera.rejects(truncated, 'got rows of 384 and 1000 bytes')

    np.testing.assert_array_equal(camera.mask_of(good), expected)
    rgba = cv2.cvtColor(frame, cv2.COLOR_BGR2RGBA)
    np.testing.assert_array_equal(camera.mask_of(image(rgba, 'rgba8')), expected)


@pytest.mark.parametrize('topic', [
    'overlay', 'overlay/compressed', 'mask/compressed', 'mask/rle', 'polygons'])
def test_a_picture_is_made_for_who_asks_with_the_images_header(
    camera: Camera, student: Student, scene: Scene, topic: str,
) -> None:
    received: queue.Queue[Any] = queue.Queue()
    node = camera.node
    type_ = {'overlay': Image, 'polygons': MaskPolygons}.get(topic, CompressedImage)
    node.create_subscription(type_, f'/student/{topic}', received.put, qos.PICTURE)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    frame = scene.frames[0]
    deadline = time.monotonic() + TIMEOUT
    while received.empty():  # until the publisher has seen the subscription
        assert time.monotonic() < deadline
        stamp = camera.send(image(frame, 'bgr8'))
        executor.spin_once(0.5)
    msg = received.get()
    assert msg.header.frame_id == 'camera'
    assert 0 < msg.header.stamp.nanosec <= stamp
    mask = student.segment(frame)
    painted = overlay(frame, mask, student.info.class_colours, 0.25)
    if topic == 'overlay':
        assert msg.encoding == 'rgb8'
        np.testing.assert_array_equal(image_to_bgr(msg), painted)
    elif topic == 'overlay/compressed':
        assert msg.format == 'bgr8; jpeg compressed bgr8'
        jpeg = cv2.imencode('.jpg', painted, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        np.testing.assert_array_equal(
            compressed_to_bgr(msg), cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    elif topic == 'polygons':
        assert (msg.height, msg.width, msg.left_out) == (*mask.shape, 0)
        assert msg.background == len(student.info.class_names) - 1
        np.testing.assert_array_equal(
            filled(outlines_of(msg), mask.shape, msg.background), mask)
    elif topic == 'mask/rle':
        assert msg.format == 'mono8; rle compressed mono8'
        np.testing.assert_array_equal(mask_of(msg), mask)
    else:
        assert msg.format == 'mono8; png compressed mono8'
        np.testing.assert_array_equal(mask_of(msg), mask)
        decoded = cv2.imdecode(np.frombuffer(msg.data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(decoded, mask)
    executor.shutdown()


def test_a_small_preview_comes_once_a_second(
    camera: Camera, student: Student, scene: Scene,
) -> None:
    received: queue.Queue[tuple[float, CompressedImage]] = queue.Queue()
    node = camera.node
    node.create_subscription(
        CompressedImage, '/student/preview/compressed',
        lambda msg: received.put((time.monotonic(), msg)), qos.PICTURE)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    frame = cv2.resize(scene.frames[0], (400, 48))
    deadline = time.monotonic() + TIMEOUT
    while received.qsize() < 3:
        assert time.monotonic() < deadline
        camera.send(image(frame, 'bgr8'))
        executor.spin_once(0.1)
    times, messages = zip(*(received.get() for _ in range(3)))
    assert min(np.diff(times)) > 0.8
    painted = overlay(frame, student.segment(frame), student.info.class_colours, 0.25)
    small = cv2.resize(painted, (320, 38), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imencode('.jpg', small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    np.testing.assert_array_equal(
        compressed_to_bgr(messages[-1]), cv2.imdecode(jpeg, cv2.IMREAD_COLOR))
    executor.shutdown()


@pytest.mark.parametrize('camera', [('compressed', 'off'), ('compressed', 'frames')],
                         indirect=True)
def test_compressed_images(camera: Camera, student: Student, scene: Scene) -> None:
    frame = scene.frames[0]
    png = cv2.imencode('.png', frame)[1].tobytes()
    jpeg = cv2.imencode('.jpg', frame)[1].tobytes()
    expected = student.segment(frame)

    def message(format_: str, data: bytes) -> CompressedImage:
        return CompressedImage(format=format_, data=array('B', data))

    np.testing.assert_array_equal(camera.mask_of(message('png', png)), expected)
    camera.rejects(message('bgr8; jpeg compressed bgr8', jpeg[:-200]), 'truncated')
    large = cv2.imencode('.png', np.zeros((200, 101, 3), np.uint8))[1].tobytes()
    camera.rejects(message('png', large), '200x101: expected 1 to 20000 pixels')
    camera.rejects(message('bgr8; tiff', b'II*\x00'),
                   "got 4 bytes that begin with 49492a00, format 'bgr8; tiff'")
    camera.rejects(message('jpeg', b''), 'nothing')
    camera.rejects(message('jpeg', jpeg[:len(jpeg) // 2] + jpeg[-2:]), 'before its last row')
    np.testing.assert_array_equal(camera.mask_of(message('png', png)), expected)
    np.testing.assert_array_equal(
        camera.mask_of(message('bgr8; png compressed ', png)), expected)


def test_an_error_that_is_not_the_images_ends_in_error_processing(
    camera: Camera, student: Student, scene: Scene,
) -> None:
    good = image(scene.frames[0], 'bgr8')
    expected = student.segment(scene.frames[0])
    diagnostics: list[DiagnosticStatus] = []
    camera.collector._node.create_subscription(
        DiagnosticArray, '/diagnostics', lambda msg: diagnostics.extend(msg.status),
        qos.DIAGNOSTICS)
    failed = threading.Event()
    camera.student.on_failed = failed.set
    loop = camera.student._loop
    assert loop is not None
    frames = 0

    def fail_on_the_third(module: Module, inputs: object) -> None:
        nonlocal frames
        frames += 1
        if frames == 3:
            raise RuntimeError('CUDA error: an illegal memory access was encountered')

    next(loop.student.network.children()).register_forward_pre_hook(fail_on_the_third)
    for _ in range(2):
        np.testing.assert_array_equal(camera.mask_of(good), expected)
    camera.send(good)
    assert failed.wait(TIMEOUT)
    status = camera.collector.wait_for_status(
        lambda s: s.state == StudentStatus.INACTIVE and s.detail.startswith('unconfigured'),
        TIMEOUT)
    assert status is not None
    assert status.detail == ('unconfigured; RuntimeError: CUDA error: an illegal memory access '
                             'was encountered')
    assert all(s.frames_rejected == 0 for s in camera.collector.statuses)
    assert camera.student._loop is None
    wait_until(lambda: any(
        said.level == DiagnosticStatus.ERROR and said.message.startswith('RuntimeError: CUDA')
        for said in diagnostics), TIMEOUT)

    camera.student.start()
    assert camera.collector.wait_for_status(
        lambda s: s.state == StudentStatus.RUNNING
        and camera.publisher.get_subscription_count() == 1, TIMEOUT) is not None
    np.testing.assert_array_equal(camera.mask_of(good), expected)


def test_a_task_without_topics_is_named_at_the_start(
    domain_id: int, tmp_path: Path, info: StudentInfo, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TASKS, 'odd', TASKS[info.task])
    path = tmp_path / 'odd.safetensors'
    save_checkpoint(Student.random(replace(info, task='odd'), 0), path)
    rclpy.init(args=['--ros-args', '-p', f'checkpoint:={path}'], domain_id=domain_id)
    node = StudentNode()
    try:
        with pytest.raises(StartError, match='UnknownTask: task: expected one of segmentation, '
                                             'detection, whose answers this node has topics '
                                             "for, got 'odd'"):
            node.start()
    finally:
        node.destroy_node()
        rclpy.shutdown()


def test_images_that_do_not_arrive_are_said(camera: Camera, scene: Scene) -> None:
    period = 40_000_000
    for index in range(80):
        if index % 5 < 2:  # the others get lost on the way
            camera.stamp = index * period
            camera.mask_of(image(scene.frames[0], 'bgr8'))
    status = camera.collector.wait_for_status(lambda s: 'do not arrive' in s.detail, TIMEOUT)
    assert status is not None
    assert '60 % of the images on /image do not arrive' in status.detail
    assert status.frames_dropped == 0


def test_without_a_tutor_the_same_is_not_said_each_time(
    camera: Camera, scene: Scene, capfd: pytest.CaptureFixture[str],
) -> None:
    def failed(times: int) -> bool:
        return camera.collector.status is not None and camera.collector.status.failures >= times

    while not failed(4):
        camera.mask_of(image(scene.frames[0], 'bgr8'))
    assert capfd.readouterr().err.count('key frame failed: no tutor') == 1
