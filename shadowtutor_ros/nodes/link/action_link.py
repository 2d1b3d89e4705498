# SPDX-License-Identifier: Apache-2.0
"""The link of a robot: one Distill goal per key frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
import threading
import time
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.node import Node
from rclpy.task import Future
from shadowtutor_msgs.action import Distill

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.goal_client import GoalClient
from shadowtutor_ros.nodes.link.piece_channel import new_transfer, PieceChannel
from shadowtutor_ros.nodes.link.rivals import count_tutors, rivalry, SECOND_ANSWER
from shadowtutor_ros.runtime.link import LinkFailure, Refusal, Reply
from shadowtutor_ros.runtime.waiting import Patience
from shadowtutor_ros.wire.errors import BadUpdate
from shadowtutor_ros.wire.messages import (
    goal_from_key_frame,
    payload_of,
    quoted,
    update_from_msg,
)
from shadowtutor_ros.wire.piece_messages import update_from_bytes
from shadowtutor_ros.wire.seal import answer_to, BadTag, Seal, UNKEYED
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

# Seconds of silence that are enough once the tutor's process seems to have ended: its signs of
# life come twice a second; since the key frame was sent, for the first of them to come; and from
# now on, for a process that had no CPU for a moment. Each is longer where this process waits for
# a CPU, too.
_DOUBT = 0.7
_FIRST_SIGN = 0.3
_MOMENT = 0.25

_REFUSALS = {Distill.Result.NEEDS_STUDENT: Refusal.NEEDS_STUDENT,
             Distill.Result.NOT_HERE: Refusal.NOT_HERE}


class ActionLink:
    """
    A Link over the action ``name``; its node must be spinning in another thread.

    A key frame of which nothing is heard, no result, feedback, piece or report, for ``timeout``
    seconds or what ``send`` was told, is cancelled and has failed. Replies to any but the newest
    key frame are ignored. With a ``channel`` images and weights travel there. While ``gone`` says
    so there is no tutor, whatever the graph remembers of one; but a tutor's process that seems to
    have ended has at least ``grace`` seconds to come back, and is asked meanwhile.

    Nothing is taken from nodes that answer to one name; ``lost`` says how many of those that the
    graph remembers have ended, and so will not. With a key in ``seal`` what has no right
    tag is no answer and no sign of life; whoever sends it is only told of when time runs out.
    """

    def __init__(
        self, node: Node, name: str, timeout: float, channel: PieceChannel | None = None,
        seal: Seal = UNKEYED, gone: Callable[[], bool] = lambda: False, grace: float = 0.0,
        lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self._node = node
        self._seal = seal
        self._usual_timeout = self._timeout = timeout
        self._name = name
        self._gone = gone
        self._grace = grace
        self._lost = lost
        self._channel = channel
        self._client = GoalClient(
            node, Distill, name, on_second=self._on_second_answer,
            goal_service_qos_profile=qos.REQUEST, result_service_qos_profile=qos.REQUEST,
            cancel_service_qos_profile=qos.REQUEST, feedback_sub_qos_profile=qos.FEEDBACK)
        self._answered = threading.Condition()
        self.answered_at = math.nan
        self._sequence = 0
        self._deadline = self._sent = self._heard = 0.0  # time.monotonic()
        self._patience = Patience()
        self._slow_until = 0.0  # time.monotonic(); until then it may be this machine
        self._patient_until = 0.0  # and until then key frames are sent all the same
        self._doubted = False  # and so the key frame may get no answer
        self._reply: Reply | None = None
        self._reply_counts = 0.0  # time.monotonic() from which no second answer will come
        self._goal: Any = None
        self._question = b''
        self._hint = ''  # what somebody without the key said

    @property
    def ready(self) -> bool:
        """Say whether there is a tutor, as far as is known."""
        patient = time.monotonic() < self._patient_until
        return (patient or not self._gone()) and self._client.server_is_ready()

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        sequence = key_frame.sequence
        with self._answered:
            self._sequence = sequence
            self._timeout = self._usual_timeout if timeout is None else timeout
            self._reply = self._goal = None
            self._hint = ''
            self._sent = time.monotonic()
            self._patience.begin()
            self._extend()
            if time.monotonic() < self._patient_until:
                self._doubt()
        if not self.ready:
            self._answer(sequence, LinkFailure(f'no tutor at {self._name}', True, True))
            return
        alive = partial(self._on_sign_of_life, sequence)
        goal = goal_from_key_frame(
            key_frame, '' if self._channel is None else self._channel.name, new_transfer(),
            time.monotonic_ns(), self._seal)
        self._question = answer_to(goal)
        if self._channel is not None:
            self._channel.expect(
                goal.transfer, partial(self._on_pieces, sequence, self._question), alive)
        future = self._client.send_goal_async(
            goal, partial(self._on_feedback, sequence, self._question))
        future.add_done_callback(partial(self._on_goal, sequence, self._question))
        with self._answered:
            if (self._channel is not None and sequence == self._sequence
                    and self._reply is None):
                # After the goal, which need not wait behind the pieces.
                self._channel.send(payload_of(key_frame), alive, goal.transfer)

    def receive(self, wait: bool) -> Reply | None:
        with self._answered:
            while (left := self._until_there_is_something()) > 0:
                if not wait:
                    return None
                self._answered.wait(left)
            if self._reply is None:
                self._abandon()
                if self._doubted:
                    return LinkFailure(f'the tutor at {self._name} is gone', True, True)
                return LinkFailure(
                    f'no sign of {self._name} for {self._timeout:.1f} s{self._hint}', True)
            reply, self._reply = self._reply, None
            self._sequence = 0
            return reply

    def give_up(self) -> None:
        """Give the outstanding key frame up, if there is one, and release a waiting receiver."""
        with self._answered:
            if self._sequence and self._reply is None:
                self._abandon()
                self._reply = LinkFailure('given up by this node')
                self._answered.notify_all()

    def doubt(self) -> None:
        """Wait for a sign of life only briefly: a tutor's process seems to have ended."""
        with self._answered:
            now = time.monotonic()
            self._slow_until = now + _MOMENT * (self._patience.factor() - 1)
            self._patient_until = max(self._slow_until, now + self._grace)
            self._doubt()

    def trust(self) -> None:
        """Take that the tutor's process lives after all, as if by a sign of life."""
        with self._answered:
            self._slow_until = self._patient_until = 0.0
            if self._doubted:
                self._extend()

    def meet(self) -> None:
        """Take that there is another process now: one in doubt did end, and its key frame too."""
        with self._answered:
            self._slow_until = self._patient_until = 0.0
            if self._doubted:
                self._deadline = time.monotonic()
                self._answered.notify_all()

    def is_slow(self) -> bool:
        """Say whether a tutor that seems to have ended may do so for this machine's slowness."""
        return time.monotonic() < self._slow_until

    def close(self) -> None:
        """Give up and end the connection to the tutor."""
        self.give_up()
        self._client.destroy()

    def _abandon(self) -> None:
        self._sequence = 0
        self.answered_at = time.perf_counter()
        if self._goal is not None:
            self._goal.cancel_goal_async()
        if self._channel is not None:
            self._channel.stop_sending()

    def _doubt(self) -> None:
        if not self._sequence or self._reply is not None:
            return
        factor = self._patience.factor()
        enough = max(self._heard + _DOUBT * factor, self._sent + _FIRST_SIGN * factor,
                     time.monotonic() + _MOMENT * factor, self._patient_until)
        self._deadline, self._doubted = min(enough, self._deadline), True
        self._answered.notify_all()

    def _extend(self) -> None:
        self._deadline = time.monotonic() + self._timeout
        self._doubted = False

    def _until_there_is_something(self) -> float:
        """Return the seconds until there is a reply or it is too late for one."""
        at = self._deadline if self._reply is None else self._reply_counts
        return at - time.monotonic()

    def _on_sign_of_life(self, sequence: int) -> None:
        with self._answered:
            if sequence == self._sequence:
                self._heard = time.monotonic()
                self._extend()

    def _on_feedback(self, sequence: int, question: bytes, message: Any) -> None:
        if self._is_sealed(message.feedback, question):
            self._on_sign_of_life(sequence)

    def _is_sealed(self, message: Any, question: bytes) -> bool:
        """Say whether a message comes from one with the key; True without a key."""
        if not self._seal.keyed:
            return True
        try:
            self._seal.check(message, question)
        except BadTag as error:
            self._hint = f'; somebody answered: {error}'
            return False
        return True

    def _on_second_answer(self) -> None:
        with self._answered:
            if self._seal.keyed or not self._sequence:
                return
            self._reply, self._reply_counts = LinkFailure(rivalry(self._name)), 0.0
            self.answered_at = time.perf_counter()
            self._answered.notify_all()

    def _on_goal(self, sequence: int, question: bytes, future: Future) -> None:
        goal = future.result()
        if goal is None or not goal.accepted:
            reason = (f"{self._name} rejected the key frame: too large, no place, another robot's "
                      'stream_id, or another key; its log says which')
            if self._seal.keyed:  # anybody can say that
                self._hint = f'; {reason}'
            else:
                self._answer(sequence, LinkFailure(reason, refusal=Refusal.NOT_HERE))
            return
        with self._answered:
            if sequence != self._sequence:
                goal.cancel_goal_async()
                return
            self._goal = goal
        goal.get_result_async().add_done_callback(
            partial(self._on_result, sequence, question))

    def _on_result(self, sequence: int, question: bytes, future: Future) -> None:
        response = future.result()
        if response is None:
            self._answer(sequence, LinkFailure(f'{self._name} gave no result'))
        elif not self._is_sealed(response.result, question):
            return
        elif response.status != GoalStatus.STATUS_SUCCEEDED:
            reason = quoted(response.result.message) or f'goal ended with status {response.status}'
            self._answer(sequence, LinkFailure(reason, refusal=_REFUSALS.get(
                response.result.refusal, Refusal.FAILED)))
        elif self._channel is not None and response.result.transfer:
            self._on_sign_of_life(sequence)  # its pieces come, or have come
        else:
            self._decode(sequence, lambda: update_from_msg(
                response.result.update, self._seal, question))

    def _on_pieces(self, sequence: int, question: bytes, data: bytes) -> None:
        self._decode(sequence, lambda: update_from_bytes(data, self._seal, question))

    def _decode(self, sequence: int, decode: Callable[[], StudentUpdate]) -> None:
        try:
            self._answer(sequence, decode())
        except BadUpdate as error:
            self._answer(sequence, LinkFailure(f'{type(error).__name__}: {error}'))

    def _when_it_counts(self, reply: Reply) -> float:
        if (self._seal.keyed or isinstance(reply, LinkFailure)
                or count_tutors(self._node, self._name, self._lost()) < 2):
            return 0.0
        return time.monotonic() + SECOND_ANSWER

    def _answer(self, sequence: int, reply: Reply) -> None:
        with self._answered:
            if sequence == self._sequence and self._reply is None:
                if self._channel is not None:
                    self._channel.stop_sending()  # refused or not, it was enough
                self._reply = reply
                self._reply_counts = self._when_it_counts(reply)
                self.answered_at = time.perf_counter()
                self._answered.notify_all()
