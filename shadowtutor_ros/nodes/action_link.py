# SPDX-License-Identifier: Apache-2.0
"""The link of a robot: one Distill goal per key frame."""

from __future__ import annotations

from functools import partial
import math
import threading
import time
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.node import Node
from rclpy.task import Future
from shadowtutor_msgs.action import Distill

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.runtime.link import LinkFailure, Reply
from shadowtutor_ros.wire.errors import BadUpdate
from shadowtutor_ros.wire.messages import goal_from_key_frame, update_from_msg
from shadowtutor_ros.wire.update import KeyFrame


class ActionLink:
    """
    A Link over the action ``name``; its node must be spinning in another thread.

    A key frame that has neither result nor feedback for ``timeout`` seconds is cancelled and has
    failed. Replies to any but the newest key frame are ignored.
    """

    def __init__(self, node: Node, name: str, timeout: float) -> None:
        self._name = name
        self._timeout = timeout
        self._client = ActionClient(
            node, Distill, name,
            goal_service_qos_profile=qos.REQUEST, result_service_qos_profile=qos.REQUEST,
            cancel_service_qos_profile=qos.REQUEST, feedback_sub_qos_profile=qos.FEEDBACK)
        self._answered = threading.Condition()
        self.answered_at = math.nan
        self._sequence = 0
        self._deadline = 0.0
        self._reply: Reply | None = None
        self._goal: Any = None

    def send(self, key_frame: KeyFrame) -> None:
        sequence = key_frame.sequence
        with self._answered:
            self._sequence = sequence
            self._deadline = time.monotonic() + self._timeout
            self._reply = self._goal = None
        if not self._client.server_is_ready():
            self._answer(sequence, LinkFailure(f'no tutor at {self._name}'))
            return
        future = self._client.send_goal_async(
            goal_from_key_frame(key_frame), partial(self._on_feedback, sequence))
        future.add_done_callback(partial(self._on_goal, sequence))

    def receive(self, wait: bool) -> Reply | None:
        with self._answered:
            while wait and self._reply is None and (
                    left := self._deadline - time.monotonic()) > 0:
                self._answered.wait(left)
            if self._reply is None and time.monotonic() >= self._deadline:
                self._sequence = 0
                self.answered_at = time.perf_counter()
                if self._goal is not None:
                    self._goal.cancel_goal_async()
                return LinkFailure(f'no sign of {self._name} for {self._timeout:g} s')
            reply, self._reply = self._reply, None
            return reply

    def close(self) -> None:
        """Release a waiting receiver."""
        with self._answered:
            self._deadline = 0.0
            self._reply = LinkFailure('the node shuts down')
            self._answered.notify_all()

    def _on_feedback(self, sequence: int, feedback: object) -> None:
        with self._answered:
            if sequence == self._sequence:
                self._deadline = time.monotonic() + self._timeout

    def _on_goal(self, sequence: int, future: Future) -> None:
        goal = future.result()
        if goal is None or not goal.accepted:
            self._answer(sequence, LinkFailure(f'{self._name} rejected the key frame'))
            return
        with self._answered:
            if sequence == self._sequence:
                self._goal = goal
        goal.get_result_async().add_done_callback(partial(self._on_result, sequence))

    def _on_result(self, sequence: int, future: Future) -> None:
        response = future.result()
        if response is None:
            self._answer(sequence, LinkFailure(f'{self._name} gave no result'))
        elif response.status != GoalStatus.STATUS_SUCCEEDED:
            reason = response.result.message or f'goal ended with status {response.status}'
            self._answer(sequence, LinkFailure(reason))
        else:
            try:
                self._answer(sequence, update_from_msg(response.result.update))
            except BadUpdate as error:
                self._answer(sequence, LinkFailure(f'{type(error).__name__}: {error}'))

    def _answer(self, sequence: int, reply: Reply) -> None:
        with self._answered:
            if sequence == self._sequence:
                self._reply = reply
                self.answered_at = time.perf_counter()
                self._answered.notify_all()
