# SPDX-License-Identifier: Apache-2.0
"""The tutor node: labels key frames, teaches students, returns their weights."""

from __future__ import annotations

from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from shadowtutor_msgs.msg import Lesson
from shadowtutor_msgs.srv import GetStudent

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.device import is_broken, pick_device
from shadowtutor_ros.model.student import Mask
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.common_parameters import path_named
from shadowtutor_ros.nodes.distill_server import DistillServer, NotActive
from shadowtutor_ros.nodes.label_info import LabelInfoTopics
from shadowtutor_ros.nodes.link.presence import show_presence
from shadowtutor_ros.nodes.link.stream_channels import StreamChannels
from shadowtutor_ros.nodes.toolkit.managed import ACTIVE, ManagedNode
from shadowtutor_ros.nodes.toolkit.parameters import declare, keep_live
from shadowtutor_ros.nodes.toolkit.spin import report_dds, run
from shadowtutor_ros.nodes.toolkit.topics import publisher
from shadowtutor_ros.nodes.tutor_parameters import LOCAL_WORKERS, TUTOR_PARAMETERS
from shadowtutor_ros.nodes.tutor_settings import distill_settings, make_teaching, tutor_recipe
from shadowtutor_ros.nodes.tutor_status import TutorStatusTopics
from shadowtutor_ros.runtime.job import OnLesson
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.runtime.teaching import Teaching
from shadowtutor_ros.wire.images import lesson_to_msg
from shadowtutor_ros.wire.messages import fill_info, update_to_msg
from shadowtutor_ros.wire.piece_messages import message_to_bytes
from shadowtutor_ros.wire.seal import answer_to, BadTag, Moments, Seal, UNKEYED
from shadowtutor_ros.wire.update import StudentUpdate

_LOOK = 0.5  # seconds between looks at who looks on


class TutorNode(ManagedNode):
    """Serves the action ``~/distill`` and the service ``~/get_student`` while it is active."""

    def __init__(self) -> None:
        super().__init__('tutor')
        self._values = declare(self, TUTOR_PARAMETERS)
        self._active = False
        self.seal = UNKEYED
        self.moments = Moments()
        self._tutor: Teaching | None = None
        self._channels: StreamChannels | None = None
        self._server: DistillServer | None = None
        self._labels = LabelInfoTopics(self)
        self._lessons = publisher(self, Lesson, '~/lessons', qos.LESSONS)
        self._looking = 0, 0  # who looked on at the last two looks
        self._status = TutorStatusTopics(self, self._values['error_failures'])
        keep_live(self, TUTOR_PARAMETERS, self._values, self._change)
        self.every(self._values['status_period'], self.report)
        self.every(_LOOK, self._look)
        report_dds(self)
        self.report()

    # -- transitions ---------------------------------------------------------------------------

    def configure(self) -> None:
        p = self._values
        self.seal = Seal.of_file(path_named(p['link_key_file']))
        recipe = tutor_recipe(p)
        self._tutor = tutor = make_teaching(recipe, p)
        self._channels = StreamChannels(self, tutor, self.seal)
        self._labels.publish(tutor.info)
        device, place = None, f"ray {p['ray_address']}"
        if p['workers'] == LOCAL_WORKERS:
            device = pick_device(p['device'])
            place = str(device)
        self._status.begin(tutor.teacher_name, device, place)
        self._serve()
        self.get_logger().info(f'{tutor.teacher_name} teaches {tutor.info.task} of '
                               f'{len(tutor.info.class_names)} classes on {place}')

    def activate(self) -> None:
        self._active = True

    def deactivate(self) -> None:
        """End what is being taught, so that the robots hear of it."""
        self._active = False
        if self._server is not None:
            self._server.end_all(NotActive('the tutor was deactivated'))

    def clean_up(self) -> None:
        tutor, self._tutor = self._tutor, None
        if tutor is not None:
            tutor.close()
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
        self._server = DistillServer(self, self, callbacks)
        self.create_service(
            GetStudent, '~/get_student', self._get_student, callback_group=callbacks)
        show_presence(self)  # last: whoever sees it finds all the rest

    def _change(self, values: dict[str, Any]) -> None:
        settings = distill_settings(values)
        if self._tutor is not None:
            self._tutor.change(settings)
        self._status.limit(values['error_failures'])

    # -- requests ------------------------------------------------------------------------------

    def served(self) -> tuple[Teaching, StreamChannels]:
        """Return what serves robots; raise NotActive if the node is not active."""
        tutor, channels = self._tutor, self._channels
        if not self._active or tutor is None or channels is None:
            phase = 'about to end' if self.phase == ACTIVE else self.phase
            raise NotActive(f'the tutor is {phase}')
        return tutor, channels

    def _get_student(
        self, request: GetStudent.Request, response: GetStudent.Response,
    ) -> GetStudent.Response:
        seal, question = self.seal, answer_to(request)
        try:
            seal.check(request)
            if seal.keyed:
                self.moments.take(request.stream_id, request.robot, request.moment)
            tutor, channels = self.served()
            update = tutor.first_student(request.stream_id, request.robot)
            response.student = update_to_msg(update, seal, question)
            fill_info(response, tutor.info)
            if request.channel:
                channel = channels.of(request.stream_id, request.robot, request.channel)
                whole = message_to_bytes(seal.sign(response, question))
                response = GetStudent.Response(
                    success=True, transfer=channel.send(whole, transfer=request.transfer))
        except BadTag as error:  # whoever it is shall not be told more
            response.message = str(error)
            self.get_logger().warning(f'{request.stream_id!r}: {response.message}',
                                      throttle_duration_sec=1.0)
            return response
        except NotActive as error:  # nothing to warn of: somebody wants it so
            return seal.sign(GetStudent.Response(message=str(error)), question)
        except Exception as error:  # whatever it is, the robot must hear of it
            message = f'{type(error).__name__}: {error}'
            self.get_logger().warning(f'{request.stream_id!r}: {message}',
                                      throttle_duration_sec=1.0)
            return seal.sign(GetStudent.Response(message=message), question)
        self.get_logger().info(f'{request.stream_id!r}: gets version {update.version}')
        return seal.sign(response, question)

    def on_taught(self, name: str, update: StudentUpdate) -> None:
        self._status.on_taught()
        self.get_logger().debug(
            f'{name}: metric {update.initial_metric:.3f} to {update.metric:.3f} '
            f'in {update.steps} steps')

    def on_failure(self, name: str, error: BaseException) -> None:
        message = f'{name}: {type(error).__name__}: {error}'
        self.get_logger().error(message)
        self._status.on_failure(message)
        if isinstance(error, Exception) and is_broken(error):
            self.fail(error)

    # -- for those who look on -----------------------------------------------------------------

    def on_lesson(self) -> OnLesson | None:
        """Return what shows a lesson, while somebody wants to see it."""
        return self._show if self._lessons.get_subscription_count() else None

    def _look(self) -> None:
        """Show the last lessons once more, a moment after somebody came: he is ready then."""
        count = self._lessons.get_subscription_count()
        before, last = self._looking
        if last > before and count and self._tutor is not None:
            self._tutor.show_again(self._show)
        self._looking = last, count

    def _show(self, update: StudentUpdate, frame: Frame, label: Mask, mask: Mask) -> None:
        try:
            self._lessons.publish(lesson_to_msg(update, frame, label, mask))
        except Exception as error:  # the thread that shows must go on
            self.get_logger().warning(f'lesson not shown: {type(error).__name__}: {error}')

    def report(self) -> None:
        self._status.publish(self._tutor, '' if self._active else self.phase, self.problem)


def main(args: list[str] | None = None) -> Any:
    """Run the tutor node."""
    keep_freed_memory()
    return run(TutorNode, args)


if __name__ == '__main__':
    main()
