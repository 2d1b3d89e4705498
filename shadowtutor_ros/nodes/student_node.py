# SPDX-License-Identifier: Apache-2.0
"""The student node: segments the camera and learns from the tutor."""

from __future__ import annotations

from functools import partial
import math
from pathlib import Path
import socket
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.msg import StudentStatus
from shadowtutor_msgs.srv import GetStudent
import torch

from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.model.engine import pick_precision
from shadowtutor_ros.model.student import Frame, Mask, Student, StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.action_link import ActionLink
from shadowtutor_ros.nodes.diagnostics import StudentDiagnostics
from shadowtutor_ros.nodes.label_info import publish_label_info
from shadowtutor_ros.nodes.link_node import LinkNode
from shadowtutor_ros.nodes.mailbox import Mailbox
from shadowtutor_ros.nodes.parameters import declare, keep_live
from shadowtutor_ros.nodes.piece_channel import DOWN, PieceChannel, UP
from shadowtutor_ros.nodes.placement import default_threads, parse_cpus, place_thread
from shadowtutor_ros.nodes.spin import run, WorkingNode
from shadowtutor_ros.nodes.student_parameters import PIECES, STUDENT_PARAMETERS
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.runtime.student import (
    Counters,
    KeyFrameSettings,
    student_from_update,
    StudentLoop,
)
from shadowtutor_ros.schedule.link_policy import LinkLimits, LinkPolicy
from shadowtutor_ros.schedule.scheduler import LIVE, Scheduler, ScheduleSettings
from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.wire.errors import WireError
from shadowtutor_ros.wire.images import compressed_to_bgr, image_from_array, image_to_bgr
from shadowtutor_ros.wire.key_frame import JPEG
from shadowtutor_ros.wire.messages import (
    header_to_msg,
    info_from_response,
    stamp_from_msg,
    stamp_to_msg,
    update_from_msg,
)
from shadowtutor_ros.wire.piece_messages import MAX_UPDATE, update_from_bytes
from shadowtutor_ros.wire.update import NO_SESSION, StudentUpdate


class StudentNode(WorkingNode):
    """
    Subscribes to ``image``; publishes ``~/mask``, ``~/overlay`` and ``~/status``.

    Callbacks only store; one worker thread owns the student and does the rest. The camera is
    subscribed to once there are weights to segment with.
    """

    def __init__(self) -> None:
        super().__init__('student')
        p = self._values = declare(self, STUDENT_PARAMETERS)
        self._settings = _settings_of(p)
        self._changed = False
        self._device = pick_device(p['device'])
        self._precision = pick_precision(p['precision'], self._device)
        self._cpus = parse_cpus(p['cpus'])
        torch.set_num_threads(p['threads'] or default_threads(self._cpus))
        self._stream_id = p['stream_id'] or socket.gethostname() + self.get_fully_qualified_name()
        self._mask_publisher = self.create_publisher(
            Image, '~/mask', qos.PICTURE, qos_overriding_options=qos.OVERRIDABLE)
        self._overlay_publisher = self.create_publisher(
            Image, '~/overlay', qos.PICTURE, qos_overriding_options=qos.OVERRIDABLE)
        self._status_publisher = self.create_publisher(
            StudentStatus, '~/status', qos.STATE, qos_overriding_options=qos.OVERRIDABLE)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self._diagnostics = StudentDiagnostics(
            self.get_fully_qualified_name(), lambda: p['max_stride'])
        self._channel: PieceChannel | None = None
        if p['transfer'] == PIECES:
            self._link_node = LinkNode(self)
            self._channel = PieceChannel(
                self._link_node.node, self.get_fully_qualified_name() + '/link', UP, DOWN,
                MAX_UPDATE)
        self._link = ActionLink(
            self, p['tutor'] + '/distill', p['goal_timeout'], self._channel)
        self._get_student = self.create_client(GetStudent, p['tutor'] + '/get_student')
        self._pending: Any = None
        self._progress = False
        self._frames: Mailbox[Image | CompressedImage] = Mailbox()
        self._loop: StudentLoop | None = None
        self._newest_frame_id = ''
        self._newest_stamp = 0
        self._rejected = 0
        self._detail = ''
        self.report_dds()
        keep_live(self, STUDENT_PARAMETERS, p, self._change)
        self._worker = threading.Thread(target=self._work, name='student')
        self.create_timer(p['status_period'], self._report)
        if p['checkpoint']:
            self._start(load_checkpoint(Path(p['checkpoint']), device=self._device), NO_SESSION, 0)
        else:
            self._detail = f"asks {p['tutor']} for the first student"
            self._ask_timer = self.create_timer(0.5, self._ask_for_student)
            self._retry_timer = self.create_timer(p['goal_timeout'], self._forget_request)

    def stop(self) -> None:
        self._frames.close()
        self._link.close()
        if self._worker.is_alive():
            self._worker.join()
        if self._channel is not None:
            self._channel.close()
            self._link_node.close()
            self._channel = None

    # -- start ---------------------------------------------------------------------------------

    def _ask_for_student(self) -> None:
        if self._pending is None and self._get_student.service_is_ready():
            future = self._get_student.call_async(GetStudent.Request(
                stream_id=self._stream_id, link=self._channel.link if self._channel else ''))
            self._pending = future
            self._progress = False
            future.add_done_callback(self._on_first_student)

    def _forget_request(self) -> None:
        """Let a request be asked again when nothing came of it since the last look."""
        if self._pending is not None and not self._progress:
            self._get_student.remove_pending_request(self._pending)
            self._pending = None
        self._progress = False

    def _on_first_student(self, future: Future) -> None:
        if self._loop is not None or future is not self._pending:
            return
        try:
            response = future.result()
            if not response.success:
                raise WireError(response.message)
            info = info_from_response(response)
            if self._channel is not None and response.transfer:
                self._progress = True
                self._channel.expect(response.transfer, partial(
                    self._on_student_pieces, future, info), self._on_progress)
                return
            self._begin(update_from_msg(response.student), info)
        except WireError as error:
            self._refuse(error)

    def _on_progress(self) -> None:
        self._progress = True

    def _on_student_pieces(self, future: Future, info: StudentInfo, data: bytes) -> None:
        if self._loop is not None or future is not self._pending:
            return
        try:
            self._begin(update_from_bytes(data), info)
        except WireError as error:
            self._refuse(error)

    def _refuse(self, error: WireError) -> None:
        self._detail = f'first student refused: {error}'
        self.get_logger().error(self._detail, throttle_duration_sec=10.0)
        self._pending = None

    def _begin(self, update: StudentUpdate, info: StudentInfo) -> None:
        student = student_from_update(update, info, self._device)
        self.destroy_timer(self._ask_timer)
        self.destroy_timer(self._retry_timer)
        self._start(student, update.session_id, update.version)

    def _start(self, student: Student, session_id: int, version: int) -> None:
        p = self._values
        self._detail = ''
        student.precision = self._precision
        schedule, key_frames, limits = self._settings
        self._loop = StudentLoop(
            student, Scheduler(schedule), self._link, self._stream_id, key_frames, session_id,
            version, LinkPolicy(limits) if limits else None)
        publish_label_info(self, student.info)
        self._worker.start()
        compressed = p['image_transport'] == 'compressed'
        self.create_subscription(
            CompressedImage if compressed else Image,
            'image/compressed' if compressed else 'image',
            self._frames.put, qos.CAMERA, qos_overriding_options=qos.OVERRIDABLE)
        self.get_logger().info(
            f'{self._stream_id}: runs version {version} with {len(student.info.class_names)} '
            f'classes on {student.device} in {student.precision}')
        self._publish_status()

    def _change(self, values: dict[str, Any]) -> None:
        """Take other parameters; the worker uses them from the next frame on."""
        settings = _settings_of(values)
        if settings != self._settings:
            self._settings = settings
            self._changed = True

    # -- every frame, in the worker thread -----------------------------------------------------

    def _work(self) -> None:
        try:
            place_thread(self._cpus, self._values['nice'])
        except OSError as error:
            self.get_logger().warning(f'parameters cpus and nice have no effect: {error}')
        while (msg := self._frames.take()) is not None:
            try:
                self._segment(msg)
                self._detail = ''
            except Exception as error:  # the robot must go on, whatever one frame did
                self._rejected += 1
                self._detail = f'{type(error).__name__}: {error}'
                self.get_logger().warning(self._detail, throttle_duration_sec=5.0)
                self._publish_status()

    def _segment(self, msg: Image | CompressedImage) -> None:
        assert self._loop is not None
        loop, counters = self._loop, self._loop.counters
        if self._changed:
            self._changed = False
            loop.change(*self._settings)
        frame = image_to_bgr(msg) if isinstance(msg, Image) else compressed_to_bgr(msg)
        stamp = stamp_from_msg(msg.header.stamp)
        before, failures = _events(counters), counters.failures
        mask = loop.segment(frame, stamp, msg.header.frame_id)
        self._newest_stamp, self._newest_frame_id = stamp, msg.header.frame_id
        self._publish_pictures(msg, frame, mask)
        loop.settle()
        if counters.failures > failures:
            self.get_logger().warning(f'key frame failed: {counters.detail}')
        if _events(counters) != before:
            self._publish_status()

    def _publish_pictures(self, msg: Image | CompressedImage, frame: Frame, mask: Mask) -> None:
        assert self._loop is not None
        self._mask_publisher.publish(image_from_array(mask, 'mono8', msg.header))
        if self._overlay_publisher.get_subscription_count():
            painted = overlay(frame, mask, self._loop.student.info.class_colours,
                              self._values['overlay_opacity'])
            self._overlay_publisher.publish(
                image_from_array(painted[..., ::-1], 'rgb8', msg.header))

    # -- status --------------------------------------------------------------------------------

    def _report(self) -> None:
        diagnostics = self._diagnostics.of(self._publish_status(), time.monotonic())
        diagnostics.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(diagnostics)

    def _publish_status(self) -> StudentStatus:
        status = StudentStatus(
            header=header_to_msg(self._newest_stamp, self._newest_frame_id),
            stream_id=self._stream_id, state=StudentStatus.WAITING, detail=self._detail,
            staleness_seconds=math.nan, initial_metric=math.nan, metric=math.nan,
            inference_ms=math.nan, turnaround_ms=math.nan, queue_ms=math.nan,
            teacher_ms=math.nan, training_ms=math.nan,
            goodput_kbps=math.nan, round_trip_ms=math.nan, frames_dropped=self._frames.dropped,
            frames_rejected=self._rejected)
        if self._loop is not None:
            _fill_status(status, self._loop)
            self._fill_link(status, self._loop)
        self._status_publisher.publish(status)
        return status

    def _fill_link(self, status: StudentStatus, loop: StudentLoop) -> None:
        policy, path = loop.policy, self._channel.path if self._channel else PathEstimate()
        status.timeout = policy.timeout if policy else self._values['goal_timeout']
        status.goodput_kbps = 8e-3 * policy.goodput if policy else math.nan
        status.stride_floor = loop.scheduler.floor
        status.jpeg_quality = loop.quality if self._values['key_frame_format'] == JPEG else 0
        status.round_trip_ms = math.nan if path.srtt is None else 1e3 * path.srtt
        status.pieces_sent, status.pieces_repeated = path.sent, path.repeated


def _settings_of(
    p: dict[str, Any],
) -> tuple[ScheduleSettings, KeyFrameSettings, LinkLimits | None]:
    """Return what the loop is told; raise ValueError for values that contradict each other."""
    schedule = ScheduleSettings(
        p['min_stride'], p['max_stride'], p['threshold'], p['policy'], p['update_delay'])
    key_frames = KeyFrameSettings(p['key_frame_format'], p['jpeg_quality'])
    limits = LinkLimits(p['goal_timeout'], p['jpeg_quality'], p['min_stride'], p['max_stride'])
    return schedule, key_frames, limits if p['adaptive'] and p['policy'] == LIVE else None


def _events(counters: Counters) -> tuple[int, int, int]:
    return counters.key_frames, counters.updates_applied, counters.failures


def _fill_status(status: StudentStatus, loop: StudentLoop) -> None:
    counters = loop.counters
    status.state = StudentStatus.RUNNING
    if counters.failed:
        status.link = StudentStatus.LINK_FAILED
    elif loop.scheduler.outstanding:
        status.link = StudentStatus.LINK_BUSY
    else:
        status.link = StudentStatus.LINK_IDLE
    status.detail = '; '.join(filter(None, (status.detail, counters.detail)))
    status.session_id, status.version = loop.session_id, loop.version
    status.staleness_frames, status.staleness_seconds = loop.staleness()
    status.stride = loop.scheduler.stride
    status.initial_metric, status.metric = counters.initial_metric, counters.metric
    status.steps = counters.steps
    status.key_frame_stamp = stamp_to_msg(counters.key_frame_stamp)
    status.frames_processed = counters.frames
    for name in ('inference', 'turnaround', 'queue', 'teacher', 'training'):
        setattr(status, f'{name}_ms', getattr(counters, f'{name}_seconds') * 1e3)
    for name in ('key_frames', 'updates_applied', 'updates_rejected', 'failures',
                 'distillation_steps', 'bytes_up', 'bytes_down'):
        setattr(status, name, getattr(counters, name))


def main(args: list[str] | None = None) -> Any:
    """Run the student node."""
    keep_freed_memory()
    return run(StudentNode, args)


if __name__ == '__main__':
    main()
