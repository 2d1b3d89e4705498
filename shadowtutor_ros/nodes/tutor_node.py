# SPDX-License-Identifier: Apache-2.0
"""The tutor node: labels key frames, teaches students, returns their weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import math
from pathlib import Path
import threading
import time
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import ReentrantCallbackGroup
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import Lesson
from shadowtutor_msgs.srv import GetStudent
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.checkpoint import load_checkpoint
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.model.student import Frame, Mask, Student, StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.label_info import LabelInfoTopics
from shadowtutor_ros.nodes.link.stream_channels import collect, MAX_KEY_FRAME, StreamChannels
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.nodes.toolkit.parameters import declare, keep_live
from shadowtutor_ros.nodes.toolkit.spin import report_dds, run
from shadowtutor_ros.nodes.toolkit.topics import publisher
from shadowtutor_ros.nodes.tutor_parameters import MAX_STREAMS, TUTOR_PARAMETERS
from shadowtutor_ros.nodes.tutor_status import TutorStatusTopics
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.runtime.tutor import (
    MAX_STREAM_ID,
    Phase,
    Progress,
    Tutor,
    TutorError,
    TutorSettings,
)
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.errors import WireError
from shadowtutor_ros.wire.images import lesson_to_msg
from shadowtutor_ros.wire.messages import fill_info, key_frame_from_goal, update_to_msg
from shadowtutor_ros.wire.piece_messages import update_to_bytes
from shadowtutor_ros.wire.update import StudentUpdate

_FEEDBACK_PERIOD = 0.2  # seconds; feedback takes bytes, and one sign of life is enough
_PIECES_TIMEOUT = 10.0  # seconds without a piece

_PHASES = {Phase.QUEUED: Distill.Feedback.QUEUED, Phase.LABELLING: Distill.Feedback.LABELLING,
           Phase.TRAINING: Distill.Feedback.TRAINING}


class _Cancelled(Exception):
    """The robot gave the goal up."""


class NotActive(TutorError):
    """The node is not active, or no longer."""


class TutorNode(ManagedNode):
    """Serves the action ``~/distill`` and the service ``~/get_student`` while it is active."""

    def __init__(self) -> None:
        super().__init__('tutor')
        self._values = declare(self, TUTOR_PARAMETERS)
        self._active = False
        self._running = 0  # requests being answered
        self._changed = threading.Condition()
        self._tutor: Tutor | None = None
        self._channels: StreamChannels | None = None
        self._server: ActionServer | None = None
        self._labels = LabelInfoTopics(self)
        self._lessons = publisher(self, Lesson, '~/lessons', qos.LESSONS)
        self._status = TutorStatusTopics(self, self._values['error_failures'])
        keep_live(self, TUTOR_PARAMETERS, self._values, self._change)
        self.every(self._values['status_period'], self.report)
        report_dds(self)
        self.report()

    # -- transitions ---------------------------------------------------------------------------

    def configure(self) -> None:
        p = self._values
        device = pick_device(p['device'])
        if p['threads']:
            torch.set_num_threads(p['threads'])
        classes = ClassSet.load(config_file(p['classes'], 'classes'))
        info = StudentInfo(classes.names, classes.colours)
        student = (load_checkpoint(Path(p['checkpoint']), info, device) if p['checkpoint']
                   else Student.random(info, p['seed'], device))
        teacher = create_teacher(
            p['teacher'], classes, weights=p['teacher_weights'], device=str(device),
            score_threshold=p['score_threshold'], fps=p['labels_fps'])
        self._tutor = Tutor(teacher, student, TutorSettings(
            _distill_settings(p),
            WeightSettings(p['weight_encoding'], p['update_density'], p['intra_period']),
            p['max_streams'], p['idle_timeout']))
        self._channels = StreamChannels(self, self._tutor)
        self._labels.publish(info)
        self._status.begin(teacher.name, device)
        self._serve()
        self.get_logger().info(f'{teacher.name} teaches {len(classes)} classes on {device}')

    def activate(self) -> None:
        with self._changed:
            self._active = True

    def deactivate(self) -> None:
        """End what is being taught, so that the robots hear of it."""
        with self._changed:
            self._active = False
            self._changed.wait_for(lambda: not self._running)

    def clean_up(self) -> None:
        self._tutor = None
        if self._channels is not None:
            self._channels.close()
            self._channels = None

    def destroy_node(self) -> None:
        if self._server is not None:
            self._server.destroy()
        super().destroy_node()

    def _serve(self) -> None:
        """Offer action and service for good: an inactive tutor refuses, it is not silent."""
        if self._server is not None:
            return
        callbacks = ReentrantCallbackGroup()
        self._server = ActionServer(
            self, Distill, '~/distill', self._distill, callback_group=callbacks,
            goal_callback=self._consider, cancel_callback=lambda goal: CancelResponse.ACCEPT,
            goal_service_qos_profile=qos.REQUEST, result_service_qos_profile=qos.REQUEST,
            cancel_service_qos_profile=qos.REQUEST, feedback_pub_qos_profile=qos.REQUEST,
            result_timeout=10)
        self.create_service(
            GetStudent, '~/get_student', self._first_student, callback_group=callbacks)

    def _change(self, values: dict[str, Any]) -> None:
        settings = _distill_settings(values)
        if self._tutor is not None:
            self._tutor.change(settings)
        self._status.limit(values['error_failures'])

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Let ``deactivate`` wait until a request has its answer."""
        with self._changed:
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _served(self) -> tuple[Tutor, StreamChannels]:
        """Return what serves robots; raise NotActive if the node is not active."""
        with self._changed:
            if not self._active or self._tutor is None or self._channels is None:
                raise NotActive(f'the tutor is {self.phase}')
            return self._tutor, self._channels

    # -- requests ------------------------------------------------------------------------------

    def _first_student(
        self, request: GetStudent.Request, response: GetStudent.Response,
    ) -> GetStudent.Response:
        with self._answering():
            return self._give_student(request, response)

    def _give_student(
        self, request: GetStudent.Request, response: GetStudent.Response,
    ) -> GetStudent.Response:
        try:
            tutor, channels = self._served()
            update = tutor.first_student(request.stream_id)
            if request.channel:
                channel = channels.of(request.stream_id, request.channel)
                response.transfer = channel.send(update_to_bytes(update))
            else:
                response.student = update_to_msg(update)
        except NotActive as error:  # nothing to warn of: somebody wants it so
            response.message = str(error)
            return response
        except (TutorError, WireError) as error:
            response.message = f'{type(error).__name__}: {error}'
            self.get_logger().warning(f'{request.stream_id!r}: {response.message}')
            return response
        self.get_logger().info(f'{request.stream_id}: gets version {update.version}')
        return fill_info(response, tutor.info)

    def _consider(self, goal: Distill.Goal) -> GoalResponse:
        size = len(goal.key_frame.data)
        if size > MAX_KEY_FRAME or not 1 <= len(goal.stream_id) <= MAX_STREAM_ID:
            self.get_logger().warning(
                f'key frame rejected: expected at most {MAX_KEY_FRAME} bytes and a stream '
                f'id of 1 to {MAX_STREAM_ID} characters, got {size} and {len(goal.stream_id)}')
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _distill(self, goal: ServerGoalHandle) -> Distill.Result:
        with self._answering():
            return self._teach(goal)

    def _teach(self, goal: ServerGoalHandle) -> Distill.Result:
        request = goal.request
        name = f'{request.stream_id} key frame {request.sequence}'
        told = -math.inf
        phase: Phase | None = None

        def check() -> None:
            if goal.is_cancel_requested:
                raise _Cancelled
            if not self._active:
                raise NotActive('the tutor was deactivated')

        def report(progress: Progress) -> None:
            nonlocal told, phase
            check()
            now = time.monotonic()
            if progress.phase is phase and now < told + _FEEDBACK_PERIOD:
                return
            told, phase = now, progress.phase
            goal.publish_feedback(Distill.Feedback(
                phase=_PHASES[progress.phase], step=progress.step, metric=progress.metric,
                loss=progress.loss))

        try:
            tutor, channels = self._served()
            channel = channels.of(request.stream_id, request.channel) if request.channel else None
            image = (collect(channel, request.transfer, _PIECES_TIMEOUT, check)
                     if channel is not None else None)
            watched = self._lessons.get_subscription_count() > 0
            update = tutor.distill(key_frame_from_goal(request, image), report,
                                   self._show if watched else None)
            result = Distill.Result()
            if channel is None:
                result.update = update_to_msg(update)
            else:
                result.transfer = channel.send(update_to_bytes(update))
        except _Cancelled:
            goal.canceled()
            return Distill.Result(message='cancelled')
        except NotActive as error:
            goal.abort()
            return Distill.Result(message=str(error))
        except Exception as error:  # one bad key frame must not take the tutor down
            return self._abort(goal, name, error)
        goal.succeed()
        self._status.on_taught()
        self.get_logger().debug(
            f'{name}: mIoU {update.initial_metric:.3f} to {update.metric:.3f} '
            f'in {update.steps} steps')
        return result

    def _abort(self, goal: ServerGoalHandle, name: str, error: Exception) -> Distill.Result:
        message = f'{type(error).__name__}: {error}'
        self.get_logger().error(f'{name}: {message}')
        self._status.on_failure(f'{name}: {message}')
        goal.abort()
        return Distill.Result(message=message)

    # -- for those who look on -----------------------------------------------------------------

    def _show(
        self, update: StudentUpdate, frame: Frame, label: Mask, segment: Callable[[], Mask],
    ) -> None:
        try:
            self._lessons.publish(lesson_to_msg(update, frame, label, segment()))
        except Exception as error:  # a robot must not pay for those who look on
            self.get_logger().warning(f'lesson not shown: {type(error).__name__}: {error}')

    def report(self) -> None:
        self._status.publish(self._tutor, '' if self._active else self.phase, self.problem)


def _distill_settings(p: dict[str, Any]) -> DistillSettings:
    names = ('threshold', 'max_updates', 'learning_rate', 'group', 'cold_start_updates',
             'cold_start_group', 'cold_start_key_frames')
    return DistillSettings(**{name: p[name] for name in names})


def main(args: list[str] | None = None) -> Any:
    """Run the tutor node."""
    keep_freed_memory()
    return run(TutorNode, args, threads=MAX_STREAMS + 8)  # every waiting key frame has one


if __name__ == '__main__':
    main()
