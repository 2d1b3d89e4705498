# SPDX-License-Identifier: Apache-2.0
"""The student node: segments the camera and learns from the tutor."""

from __future__ import annotations

from functools import partial
from pathlib import Path
import secrets
import socket
import threading
from typing import Any

from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
import torch

from shadowtutor_ros.frame import BadFrame
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.model.engine import pick_precision
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.answer_topics import answer_topics
from shadowtutor_ros.nodes.camera_losses import CameraLosses
from shadowtutor_ros.nodes.common_parameters import path_named
from shadowtutor_ros.nodes.label_info import LabelInfoTopics
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import channel_name, DOWN, PieceChannel, UP
from shadowtutor_ros.nodes.link.student_request import StudentRequest
from shadowtutor_ros.nodes.link.tutors import OneTutor, tutor_names, Tutors
from shadowtutor_ros.nodes.student_parameters import OFF, PIECES, STUDENT_PARAMETERS
from shadowtutor_ros.nodes.student_reports import StudentMoment, StudentReports
from shadowtutor_ros.nodes.student_settings import limits_of, settings_of
from shadowtutor_ros.nodes.student_sharing import StudentSharing
from shadowtutor_ros.nodes.student_status import events
from shadowtutor_ros.nodes.toolkit.in_order import InOrder
from shadowtutor_ros.nodes.toolkit.listener import Listener
from shadowtutor_ros.nodes.toolkit.mailbox import Mailbox
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.nodes.toolkit.parameters import declare, keep_live, ParameterError
from shadowtutor_ros.nodes.toolkit.placement import default_threads, parse_cpus, place_thread
from shadowtutor_ros.nodes.toolkit.repeats import Repeats
from shadowtutor_ros.nodes.toolkit.spin import report_dds, run
from shadowtutor_ros.nodes.toolkit.topics import compressed_topic, subscription
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.runtime.robot_state import RobotState
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.sharing import FrameLost
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.schedule.link_policy import LinkPolicy
from shadowtutor_ros.schedule.scheduler import Scheduler
from shadowtutor_ros.schedule.turns import MAX_STREAM_ID
from shadowtutor_ros.tasks.table import UnknownTask
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.messages import stamp_from_msg
from shadowtutor_ros.wire.piece_messages import MAX_UPDATE
from shadowtutor_ros.wire.pixels import compressed_picture, image_to_bgr
from shadowtutor_ros.wire.seal import Seal
from shadowtutor_ros.wire.update import NO_SESSION, StudentUpdate

_FRAME = 0.5  # seconds that a frame may take


class StudentNode(ManagedNode):
    """
    Subscribes to ``image``; publishes ``~/mask`` or ``~/detections``, ``~/overlay``, ``~/status``.

    Callbacks only store; while the node is active and has weights, one worker thread owns the
    student and does the rest, and the camera is subscribed to.
    """

    def __init__(self) -> None:
        super().__init__('student')
        p = self._values = declare(self, STUDENT_PARAMETERS)
        self._settings = settings_of(p)
        self._tutor_names = tutor_names(p['tutor'])
        self._changed = False
        self._name = self.get_fully_qualified_name()
        self._stream_id = p['stream_id'] or socket.gethostname() + self._name
        if (size := len(self._stream_id.encode())) > MAX_STREAM_ID:
            raise ParameterError(f'stream_id: expected at most {MAX_STREAM_ID} bytes, '
                                 f'got {size}: {self._stream_id!r}')
        self._robot = secrets.randbits(64) or 1
        self._answers = answer_topics(self)
        self._labels = LabelInfoTopics(self)
        self._reports = StudentReports(
            self, self._stream_id, self._tutor_names, p['goal_timeout'], limits_of(p))
        self._frames: Mailbox[Image | CompressedImage] = Mailbox()
        self._losses = CameraLosses(self)
        self._failure_log = Repeats()
        self._in_order = InOrder('answers')
        self._rejected = 0
        self._detail = ''  # what is wrong with the last frame
        self._asking = ''  # what is asked of the tutor, and what it said
        # Between transitions and a student of the tutor's, which may come at any time.
        self._lock = threading.RLock()
        self._active = False
        self._loop: StudentLoop | None = None
        self._tutors: Tutors | None = None
        self._channel_node: ChannelNode | None = None
        self._request: StudentRequest | None = None
        self._sharing: StudentSharing | None = None
        self._successor: RunningStudent | None = None
        self._state: RobotState | None = None
        self._camera: Subscription | None = None
        self._listener: Listener | None = None
        self._worker: threading.Thread | None = None
        keep_live(self, STUDENT_PARAMETERS, p, self._change)
        self.every(p['status_period'], self._diagnose)
        report_dds(self)
        self.report()

    # -- transitions ---------------------------------------------------------------------------

    def configure(self) -> None:
        p = self._values
        self._device = device = pick_device(p['device'])
        torch.zeros(1, device=device)  # one that does not work any more fails here
        self._precision = pick_precision(p['precision'], device)
        self._cpus = parse_cpus(p['cpus'])
        torch.set_num_threads(p['threads'] or default_threads(self._cpus))
        self._seal = Seal.of_file(path_named(p['link_key_file']))
        first = self._at_hand(device)
        if p['transfer'] == PIECES or p['share'] != OFF:
            self._channel_node = ChannelNode(self)
        self._tutors = Tutors([
            OneTutor(self, name, self._channel_to(number), p['goal_timeout'], self._seal,
                     self.report, alone=len(self._tutor_names) == 1)
            for number, name in enumerate(self._tutor_names)], self._on_handover)
        if first is not None:
            self._check_task(first.student)
            self._take(*first)
        else:
            self._ask('first student')

    def activate(self) -> None:
        with self._lock:
            self._active = True
            self._begin()

    def deactivate(self) -> None:
        with self._lock:
            self._active = False
            if self._camera is not None and self._listener is not None:
                self._listener.close()
                self.destroy_subscription(self._camera)
                self._camera = None
            self._frames.close()
            worker, self._worker = self._worker, None
        if worker is None:
            return
        assert self._tutors is not None
        loop = self._loop
        assert loop is not None
        worker.join(_FRAME)
        while worker.is_alive():  # it waits for an answer
            self._tutors.give_up()
            worker.join(_FRAME)
        self._tutors.give_up()
        self._in_order.join()
        loop.rest()
        if self._state is not None:
            self._state.keep(loop.student, loop.session_id, loop.version, at_once=True)

    def clean_up(self) -> None:
        with self._lock:
            request, self._request = self._request, None
            tutors, self._tutors = self._tutors, None
            sharing, self._sharing = self._sharing, None
            channel_node, self._channel_node = self._channel_node, None
            state, self._state = self._state, None
            self._loop = self._successor = None
            self._frames.dropped = self._rejected = 0
            self._detail = self._asking = ''
        for part in (request, tutors, sharing, channel_node, state):
            if part is not None:
                part.close()

    # -- from the first student to the first frame ----------------------------------------------

    def _at_hand(self, device: torch.device) -> RunningStudent | None:
        """Return the student that the robot ran last, else the checkpoint; None without both."""
        p = self._values
        own = None
        if p['checkpoint']:
            own = RunningStudent(
                load_checkpoint(Path(p['checkpoint']), device=device), NO_SESSION, 0)
        if (folder := path_named(p['state_folder'])) is None:
            return own
        self._state = RobotState(folder, self._stream_id)
        kept = self._state.load(device)
        if kept is None or (own is not None
                            and own.student.layout_hash != kept.student.layout_hash):
            return own
        return kept

    def _channel_to(self, number: int) -> PieceChannel | None:
        """Return what pieces go to a tutor by, None where everything is in the messages."""
        if self._channel_node is None or self._values['transfer'] != PIECES:
            return None
        name = channel_name(self._name, self._stream_id, self._robot, number)
        return PieceChannel(self._channel_node, name, UP, DOWN, MAX_UPDATE, self._seal)

    def _check_task(self, student: Student) -> None:
        if (task := student.info.task) not in self._answers:
            raise UnknownTask(f'task: expected one of {", ".join(self._answers)}, whose answers '
                              f'this node has topics for, got {task!r}')

    def _ask(self, what: str) -> None:
        """Ask the tutor for its student of this stream until it has come."""
        def on_student(update: StudentUpdate, info: StudentInfo) -> None:
            student = student_from_update(update, info, self._device)
            self._check_task(student)
            with self._lock:
                if request is self._request:
                    self._take(student, update.session_id, update.version)
                    self._request = None  # after that, or the worker would ask once more
                    request.close()

        tutors = self._tutors
        assert tutors is not None
        with self._lock:
            serving = tutors.serving
            self._asking = f'asks {serving.name} for the {what}'
            request = self._request = StudentRequest(
                self, serving, self._stream_id, self._robot, self._values['goal_timeout'],
                on_student, partial(self._on_refused, what), self._seal, tutors.hand_over)

    def _on_handover(self, old: OneTutor, new: OneTutor) -> None:
        self.get_logger().warning(f'{self._stream_id}: {new.name} takes over from {old.name}')
        if (request := self._request) is not None:
            request.turn_to(new)
        self.report()

    def _on_refused(self, what: str, reason: str) -> None:
        if self._request is None:
            return
        self._asking = f'{what} refused: {reason}'
        self.get_logger().error(self._asking, throttle_duration_sec=10.0)

    def _take(self, student: Student, session_id: int, version: int) -> None:
        """Begin with a student, or let the worker exchange the one that runs."""
        student.precision = self._precision
        self._asking = ''
        self.get_logger().info(
            f'{self._stream_id}: has version {version} with {len(student.info.class_names)} '
            f'classes on {student.device} in {student.precision}')
        if self._loop is not None:
            self._successor = RunningStudent(student, session_id, version)
            return
        assert self._tutors is not None
        schedule, key_frames, limits = self._settings
        if self._values['share'] != OFF:
            assert self._channel_node is not None
            self._sharing = StudentSharing(
                self, self._channel_node, self._robot,
                RunningStudent(student, session_id, version), self._values, self._seal,
                self._place)
        self._loop = StudentLoop(
            student, Scheduler(schedule), self._tutors, self._stream_id, key_frames, session_id,
            version, LinkPolicy(limits) if limits else None,
            None if self._sharing is None else self._sharing.inference, self._robot)
        self._labels.publish(student.info)
        self._begin()
        self.report()

    def _begin(self) -> None:
        """Subscribe and work, if the node is active and has weights."""
        loop = self._loop
        if loop is None or not self._active:
            return
        compressed = self._values['image_transport'] == 'compressed'
        self._listener = Listener(self, 'camera')
        self._camera = subscription(
            self, CompressedImage if compressed else Image,
            compressed_topic(self, 'image') if compressed else 'image', self._on_image,
            qos.CAMERA, self._listener)
        self._frames.reopen()
        self._worker = threading.Thread(target=self._work, args=(loop,), name='student')
        self._worker.start()

    def _on_image(self, msg: Image | CompressedImage) -> None:
        self._losses.see(stamp_from_msg(msg.header.stamp))
        self._frames.put(msg)

    def _change(self, values: dict[str, Any]) -> None:
        """Take other parameters; the worker uses them from the next frame on."""
        settings = settings_of(values)
        self._reports.limits = limits_of(values)
        if settings != self._settings:
            self._settings = settings
            self._changed = True

    # -- every frame, in the worker thread -----------------------------------------------------

    def _work(self, loop: StudentLoop) -> None:
        self._place()
        while (msg := self._next(loop)) is not None:
            try:
                self._segment(loop, msg)
                self._detail = ''
            except (BadImage, BadFrame) as error:
                self._reject(error)
            except Exception as error:
                self._on_lost(error)

    def _place(self) -> None:
        try:
            place_thread(self._cpus, self._values['nice'])
        except OSError as error:
            self.get_logger().warning(f'parameters cpus and nice have no effect: {error}')

    def _next(self, loop: StudentLoop) -> Image | CompressedImage | None:
        loop.wait()  # so that the newest image is taken
        return self._frames.take()

    def _segment(self, loop: StudentLoop, msg: Image | CompressedImage) -> None:
        counters = loop.counters
        if self._changed:
            self._changed = False
            loop.change(*self._settings)
        if self._successor is not None:
            self._exchange(loop, self._successor)
        picture = self._picture_of(msg)
        before, failures, detail = events(counters), counters.failures, counters.detail
        answer = loop.submit(picture, stamp_from_msg(msg.header.stamp), msg.header.frame_id)
        info = loop.student.info
        self._in_order.put(
            answer, lambda mask: self._answers[info.task].publish(
                msg.header, picture, mask, info, self._values['overlay_opacity']), self._on_lost)
        loop.settle()
        if self._state is not None:
            self._state.keep(loop.student, loop.session_id, loop.version)
        if counters.failures > failures and counters.detail != detail:
            self._failure_log.warn(self, f'key frame failed: {counters.detail}')
        if loop.foreign and self._request is None and self._successor is None:
            loop.asking = True
            self._ask('student that it teaches')
        if events(counters) != before:
            self.report()

    def _picture_of(self, msg: Image | CompressedImage) -> CameraPicture:
        most = self._values['max_pixels']
        if isinstance(msg, Image):
            return CameraPicture.of(image_to_bgr(msg, most))
        picture = compressed_picture(msg, most)
        if self._sharing is None:
            picture.frame()  # nobody else will decode it: damage is found here
        return picture

    def _reject(self, error: BadImage | BadFrame) -> None:
        """Do without an image; the next one may be better."""
        self._rejected += 1
        self._detail = f'{type(error).__name__}: {error}'
        self.get_logger().warning(self._detail, throttle_duration_sec=5.0)
        self.report()

    def _on_lost(self, error: Exception) -> None:
        if isinstance(error, FrameLost):
            self._frames.dropped += 1
        elif isinstance(error, BadImage):  # seen only where it was decoded
            self._reject(error)
        else:
            self._frames.close()
            self.fail(error)

    def _exchange(self, loop: StudentLoop, successor: RunningStudent) -> None:
        assert self._tutors is not None
        self._tutors.give_up()  # a key frame for the old one
        loop.exchange(*successor)
        self._successor = None
        self._labels.publish(successor.student.info)
        self.report()

    # -- status --------------------------------------------------------------------------------

    def report(self) -> None:
        self._reports.publish(self._moment())

    def _diagnose(self) -> None:
        self._reports.diagnose(self._moment())

    def _moment(self) -> StudentMoment:
        return StudentMoment(
            self._loop, self._tutors, self._active, self.phase, self.problem,
            (self._asking, self._detail), self._losses.said(self._camera),
            self._frames.dropped, self._rejected, self._sharing)


def main(args: list[str] | None = None) -> Any:
    """Run the student node."""
    keep_freed_memory()
    return run(StudentNode, args)


if __name__ == '__main__':
    main()
