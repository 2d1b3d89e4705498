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
from shadowtutor_ros.runtime.link import LinkFailure, Reply
from shadowtutor_ros.wire.errors import BadUpdate
from shadowtutor_ros.wire.messages import goal_from_key_frame, update_from_msg
from shadowtutor_ros.wire.piece_messages import update_from_bytes
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


class ActionLink:
    """
    A Link over the action ``name``; its node must be spinning in another thread.

    A key frame of which nothing is heard, no result, feedback, piece or report, for ``timeout``
    seconds or what ``send`` was told, is cancelled and has failed. Replies to any but the newest
    key frame are ignored. With a ``channel`` images and weights travel there.
    """

    def __init__(
        self, node: Node, name: str, timeout: float, channel: PieceChannel | None = None,
    ) -> None:
        self._usual_timeout = self._timeout = timeout
        self._name = name
        self._channel = channel
        self._client = GoalClient(
            node, Distill, name,
            goal_service_qos_profile=qos.REQUEST, result_service_qos_profile=qos.REQUEST,
            cancel_service_qos_profile=qos.REQUEST, feedback_sub_qos_profile=qos.FEEDBACK)
        self._answered = threading.Condition()
        self.answered_at = math.nan
        self._sequence = 0
        self._deadline = 0.0
        self._reply: Reply | None = None
        self._goal: Any = None

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        sequence = key_frame.sequence
        with self._answered:
            self._sequence = sequence
            self._timeout = self._usual_timeout if timeout is None else timeout
            self._reply = self._goal = None
            self._extend()
        if not self._client.server_is_ready():
            self._answer(sequence, LinkFailure(f'no tutor at {self._name}', True))
            return
        alive = partial(self._on_sign_of_life, sequence)
        if self._channel is None:
            goal = goal_from_key_frame(key_frame)
        else:
            goal = goal_from_key_frame(key_frame, self._channel.name, new_transfer())
        future = self._client.send_goal_async(goal, alive)
        future.add_done_callback(partial(self._on_goal, sequence))
        with self._answered:
            if (self._channel is not None and sequence == self._sequence
                    and self._reply is None):
                # After the goal, which need not wait behind the pieces.
                self._channel.send(key_frame.encoded.data, alive, goal.transfer)

    def receive(self, wait: bool) -> Reply | None:
        with self._answered:
            while wait and self._reply is None and (
                    left := self._deadline - time.monotonic()) > 0:
                self._answered.wait(left)
            if self._reply is None and time.monotonic() >= self._deadline:
                self._abandon()
                return LinkFailure(f'no sign of {self._name} for {self._timeout:.1f} s', True)
            reply, self._reply = self._reply, None
            if reply is not None:
                self._sequence = 0
            return reply

    def give_up(self) -> None:
        """Give the outstanding key frame up, if there is one, and release a waiting receiver."""
        with self._answered:
            if self._sequence and self._reply is None:
                self._abandon()
                self._reply = LinkFailure('given up by this node')
                self._answered.notify_all()

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

    def _extend(self) -> None:
        self._deadline = time.monotonic() + self._timeout

    def _on_sign_of_life(self, sequence: int, feedback: object = None) -> None:
        with self._answered:
            if sequence == self._sequence:
                self._extend()

    def _on_goal(self, sequence: int, future: Future) -> None:
        goal = future.result()
        if goal is None or not goal.accepted:
            self._answer(sequence, LinkFailure(
                f"{self._name} rejected the key frame: too large, no place, or another robot's "
                'stream_id; its log says which'))
            return
        with self._answered:
            if sequence != self._sequence:
                goal.cancel_goal_async()
                return
            self._goal = goal
        goal.get_result_async().add_done_callback(partial(self._on_result, sequence))

    def _on_result(self, sequence: int, future: Future) -> None:
        response = future.result()
        if response is None:
            self._answer(sequence, LinkFailure(f'{self._name} gave no result'))
        elif response.status != GoalStatus.STATUS_SUCCEEDED:
            reason = response.result.message or f'goal ended with status {response.status}'
            self._answer(sequence, LinkFailure(reason))
        elif self._channel is not None and response.result.transfer:
            self._on_sign_of_life(sequence)
            self._channel.expect(
                response.result.transfer, partial(self._on_pieces, sequence),
                partial(self._on_sign_of_life, sequence))
        else:
            self._decode(sequence, lambda: update_from_msg(response.result.update))

    def _on_pieces(self, sequence: int, data: bytes) -> None:
        self._decode(sequence, lambda: update_from_bytes(data))

    def _decode(self, sequence: int, decode: Callable[[], StudentUpdate]) -> None:
        try:
            self._answer(sequence, decode())
        except BadUpdate as error:
            self._answer(sequence, LinkFailure(f'{type(error).__name__}: {error}'))

    def _answer(self, sequence: int, reply: Reply) -> None:
        with self._answered:
            if sequence == self._sequence:
                if self._channel is not None:
                    self._channel.stop_sending()  # refused or not, it was enough
                self._reply = reply
                self.answered_at = time.perf_counter()
                self._answered.notify_all()
