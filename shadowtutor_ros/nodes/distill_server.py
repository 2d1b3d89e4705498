# SPDX-License-Identifier: Apache-2.0
"""The action ``~/distill``: key frames in, updates out, and no thread that waits for either."""

from __future__ import annotations

from array import array
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
import math
import threading
import time
from typing import Protocol

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import CallbackGroup
from shadowtutor_msgs.action import Distill

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.piece_channel import PieceChannel
from shadowtutor_ros.nodes.link.stream_channels import MAX_KEY_FRAME, StreamChannels
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode, RCLError
from shadowtutor_ros.runtime.job import OnLesson, Phase, Progress
from shadowtutor_ros.runtime.pool import NoWorker
from shadowtutor_ros.runtime.teaching import Teaching
from shadowtutor_ros.runtime.tutor import StudentNeeded
from shadowtutor_ros.schedule.turns import Refused, StreamTaken, Superseded, TooManyStreams
from shadowtutor_ros.wire.errors import WireError
from shadowtutor_ros.wire.messages import key_frame_from_goal, quoted, update_to_msg
from shadowtutor_ros.wire.piece_messages import update_to_bytes
from shadowtutor_ros.wire.seal import answer_to, Moments, Seal
from shadowtutor_ros.wire.update import StudentUpdate

_FEEDBACK_PERIOD = 0.2  # seconds; feedback takes bytes, and one sign of life is enough
_SIGN_PERIOD = 0.5  # seconds: a robot gives up after a few without any
_PIECES_TIMEOUT = 10.0  # seconds without a piece
_NEXT_STEP = 0.3  # seconds for what is being taught to end by itself
_LAST_WORDS = 0.5  # seconds for results that are on their way

_PHASES = {Phase.LABELLING: Distill.Feedback.LABELLING, Phase.TRAINING: Distill.Feedback.TRAINING}


class NotActive(ShadowTutorError):
    """The node is not active, or no longer."""


class LostKeyFrame(ShadowTutorError):
    """The pieces of a key frame stopped coming."""


class _Cancelled(Exception):
    """The robot gave the goal up."""


class Desk(Protocol):
    """What the server asks the tutor's node."""

    seal: Seal
    moments: Moments  # of goals and requests

    def served(self) -> tuple[Teaching, StreamChannels]:
        """Return what serves robots; raise NotActive if the node is not active."""

    def on_lesson(self) -> OnLesson | None:
        """Return who wants to see a lesson, None if nobody looks on."""

    def on_taught(self, name: str, update: StudentUpdate) -> None:
        """Take note of a key frame that was taught."""

    def on_failure(self, name: str, error: BaseException) -> None:
        """Take note of a key frame that could not be taught."""


class _OpenGoal:
    """A key frame from its acceptance to its answer, and the signs of life about it."""

    def __init__(self, handle: ServerGoalHandle, seal: Seal) -> None:
        self.handle = handle
        self.question = answer_to(handle.request)
        self._seal = seal
        self.stream_id = handle.request.stream_id
        self.name = f'{quoted(self.stream_id)} key frame {handle.request.sequence}'
        self.channel: PieceChannel | None = None
        self.answer: Future[StudentUpdate] | None = None  # None while pieces come
        self.heard = time.monotonic()
        self.complete = self.heard  # when all of the key frame was here
        self.end: Exception | None = None  # why it must not go on
        self.concluded = False
        self._feedback = Distill.Feedback(
            phase=Distill.Feedback.QUEUED, metric=math.nan, loss=math.nan)
        self._told = -math.inf

    def on_piece(self) -> None:
        self.heard = time.monotonic()

    def on_progress(self, progress: Progress) -> None:
        """Tell the robot; raise what ends the work."""
        if self.end is not None:
            raise self.end
        phase = _PHASES[progress.phase]
        news = phase != self._feedback.phase
        self._feedback = Distill.Feedback(
            phase=phase, step=progress.step, metric=progress.metric, loss=progress.loss)
        self.tell(0.0 if news else _FEEDBACK_PERIOD)

    def tell(self, period: float) -> None:
        """Say how things stand, unless it was said in the last ``period`` seconds."""
        now = time.monotonic()
        if now >= self._told + period:
            self._told = now
            self.handle.publish_feedback(self._seal.sign(self._feedback, self.question))


class DistillServer:
    """
    Takes goals for ``desk``, whose node it belongs to, for good.

    Whether a stream has a place is decided before a goal is accepted; with a link key after that,
    because an answer can have a tag and a rejection cannot. What has no right tag is rejected and
    changes nothing. Of a stream's goals at most one collects its pieces, one waits for its turn
    and one is taught.
    """

    def __init__(self, node: ManagedNode, desk: Desk, callbacks: CallbackGroup) -> None:
        self._desk = desk
        self._logger = node.get_logger()
        self._goals: set[_OpenGoal] = set()
        self._changed = threading.Condition()
        self._server = ActionServer(
            node, Distill, '~/distill',
            lambda handle: Distill.Result(),  # every goal ends by a callback of its own
            callback_group=callbacks,
            goal_callback=self._consider, handle_accepted_callback=self._begin,
            cancel_callback=self._cancel,
            goal_service_qos_profile=qos.REQUEST, result_service_qos_profile=qos.REQUEST,
            cancel_service_qos_profile=qos.REQUEST, feedback_pub_qos_profile=qos.REQUEST,
            result_timeout=10)
        node.every(_SIGN_PERIOD, self._look_after_goals)

    def end_all(self, error: Exception) -> None:
        """
        End all goals because of ``error``; return when their robots have been told.

        What is being taught ends at its next step; its robot is told at once if that takes long.
        An executor that does not spin any more tells nobody: it is not waited for.
        """
        with self._changed:
            goals = list(self._goals)
        for goal in goals:
            self._end(goal, error)
        with self._changed:
            self._changed.wait_for(
                lambda: all(goal.concluded for goal in self._goals), _NEXT_STEP)
        for goal in goals:
            self._conclude(goal, error)
        with self._changed:
            self._changed.wait_for(lambda: not self._goals, _LAST_WORDS)

    def destroy(self) -> None:
        """Offer the action no more."""
        self._server.destroy()

    # -- a goal comes --------------------------------------------------------------------------

    def _consider(self, request: Distill.Goal) -> GoalResponse:
        try:
            if (size := len(request.student) + len(request.key_frame.data)) > MAX_KEY_FRAME:
                raise Refused(f'expected a key frame of at most {MAX_KEY_FRAME} bytes, '
                              f'got {size}')
            self._desk.seal.check(request)
            if self._desk.seal.keyed:
                self._desk.moments.take(request.stream_id, request.robot, request.moment)
                return GoalResponse.ACCEPT
            tutor, _ = self._desk.served()
            tutor.admit(request.stream_id, request.robot)
        except NotActive:
            pass  # accepted, so that its result can say why
        except (Refused, WireError) as error:
            self._logger.warning(f'{request.stream_id!r}: key frame rejected: {error}',
                                 throttle_duration_sec=1.0)
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _begin(self, handle: ServerGoalHandle) -> None:
        goal, request = _OpenGoal(handle, self._desk.seal), handle.request
        payload = bytes(request.student) + bytes(request.key_frame.data)
        request.student = request.key_frame.data = array('B')  # rclpy keeps requests for a while
        with self._changed:
            older = [g for g in self._goals
                     if g.stream_id == goal.stream_id and g.answer is None and g.end is None]
            self._goals.add(goal)
        if handle.is_cancel_requested:  # before there was anything to cancel
            self._end(goal, _Cancelled('cancelled'))
            return
        for other in older:
            self._end(other, Superseded('a newer key frame came before this one was complete'))
        try:
            tutor, channels = self._desk.served()
            tutor.admit(goal.stream_id, request.robot)
            if not request.channel:
                self._submit(goal, tutor, payload)
                return
            goal.tell(0.0)
            goal.channel = channels.of(goal.stream_id, request.robot, request.channel)
            goal.channel.expect(
                request.transfer, partial(self._submit, goal, tutor), goal.on_piece)
        except Exception as error:  # one bad key frame must not take the tutor down
            self._end(goal, error)

    def _submit(self, goal: _OpenGoal, tutor: Teaching, payload: bytes) -> None:
        if goal.end is not None:
            return
        goal.complete = time.monotonic()
        try:
            answer = tutor.submit(key_frame_from_goal(goal.handle.request, payload),
                                  goal.on_progress, self._desk.on_lesson())
        except Exception as error:
            self._end(goal, error)
            return
        goal.answer = answer
        answer.add_done_callback(partial(self._on_answer, goal))
        if goal.end is not None:  # meanwhile
            answer.cancel()

    # -- a goal ends ---------------------------------------------------------------------------

    def _cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        with self._changed:
            goals = [goal for goal in self._goals if goal.handle is handle]
        for goal in goals:
            self._end(goal, _Cancelled('cancelled'))
        return CancelResponse.ACCEPT

    def _look_after_goals(self) -> None:
        with self._changed:
            goals = [goal for goal in self._goals if goal.end is None]
        for goal in goals:
            if goal.answer is None and time.monotonic() > goal.heard + _PIECES_TIMEOUT:
                self._end(goal, LostKeyFrame(
                    f'no piece of the key frame for {_PIECES_TIMEOUT:g} s'))
            elif goal.answer is not None:
                with suppress(RCLError):  # of one goal, which must not cost the others theirs
                    goal.tell(_SIGN_PERIOD)

    def _end(self, goal: _OpenGoal, error: Exception) -> None:
        """Let a goal end by ``error``: now, or if it is being taught at its next step."""
        with self._changed:
            if goal.end is not None:
                return
            goal.end = error
        if goal.answer is None:
            self._conclude(goal, error)
        else:
            goal.answer.cancel()

    def _on_answer(self, goal: _OpenGoal, answer: Future[StudentUpdate]) -> None:
        try:
            outcome: StudentUpdate | BaseException = answer.result()
        except CancelledError as error:
            outcome = goal.end or error
        except BaseException as error:
            outcome = error
        self._conclude(goal, outcome)

    def _conclude(self, goal: _OpenGoal, outcome: StudentUpdate | BaseException) -> None:
        """Have the executor give the goal its result, once; the tutor's thread goes on."""
        with self._changed:
            if goal.concluded:
                return
            goal.concluded = True
            self._changed.notify_all()
        give_result = partial(self._give_result, goal, outcome)
        try:
            goal.handle.execute(give_result)
        except RCLError:  # cancelled between rclpy's look at the state and its change
            goal.handle.execute(give_result)

    def _give_result(
        self, goal: _OpenGoal, outcome: StudentUpdate | BaseException, handle: ServerGoalHandle,
    ) -> Distill.Result:
        seal = self._desk.seal
        try:
            try:
                return seal.sign(self._result(goal, outcome), goal.question)
            except Exception as error:  # the answer cannot be written: that is the answer
                return seal.sign(self._result(goal, error), goal.question)
        finally:
            with self._changed:
                self._goals.discard(goal)
                self._changed.notify_all()

    def _result(
        self, goal: _OpenGoal, outcome: StudentUpdate | BaseException,
    ) -> Distill.Result:
        result = Distill.Result()
        if isinstance(outcome, StudentUpdate):
            outcome = replace(outcome, queue_time=max(
                0.0, time.monotonic() - goal.complete
                - outcome.teacher_time - outcome.training_time))
            if goal.channel is None:
                result.update = update_to_msg(outcome, self._desk.seal, goal.question)
            else:
                result.transfer = goal.channel.send(
                    update_to_bytes(outcome, self._desk.seal, goal.question),
                    transfer=goal.handle.request.transfer)
            self._desk.on_taught(goal.name, outcome)
            goal.handle.succeed()
        elif isinstance(outcome, _Cancelled):
            result.message = str(outcome)
            # It may not be marked yet: rclpy does so after the callback that told of it.
            (goal.handle.canceled if goal.handle.is_cancel_requested else goal.handle.abort)()
        elif isinstance(outcome, NotActive | StudentNeeded):  # nothing to complain of
            result.message, result.refusal = str(outcome), _refusal(outcome)
            goal.handle.abort()
        else:
            self._desk.on_failure(goal.name, outcome)
            result.message = f'{type(outcome).__name__}: {outcome}'
            result.refusal = _refusal(outcome)
            goal.handle.abort()
        return result


def _refusal(error: BaseException) -> int:
    """Return what a robot can do about an error."""
    if isinstance(error, StudentNeeded):
        return int(Distill.Result.NEEDS_STUDENT)
    if isinstance(error, NotActive | NoWorker | TooManyStreams | StreamTaken):
        return int(Distill.Result.NOT_HERE)
    return int(Distill.Result.FAILED)
