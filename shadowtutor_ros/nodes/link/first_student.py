# SPDX-License-Identifier: Apache-2.0
"""Asks a tutor for a stream's first student (Algorithm 3, line 1) until it has come."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.task import Future
from shadowtutor_msgs.srv import GetStudent

from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes.link.piece_channel import PieceChannel
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.wire.errors import WireError
from shadowtutor_ros.wire.messages import info_from_response, update_from_msg
from shadowtutor_ros.wire.piece_messages import update_from_bytes
from shadowtutor_ros.wire.update import StudentUpdate

_POLL = 0.5  # seconds between looks for the tutor


class FirstStudent:
    """
    One request at a time to ``<tutor>/get_student``, until ``on_student`` takes the answer.

    ``on_student`` may raise to refuse it; ``on_refused`` is told why, and the tutor is asked
    again. A request of which nothing came for ``patience`` seconds is given up.
    """

    def __init__(
        self, node: ManagedNode, tutor: str, stream_id: str, channel: PieceChannel | None,
        patience: float, on_student: Callable[[StudentUpdate, StudentInfo], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self._node = node
        self._client = node.create_client(GetStudent, f'{tutor}/get_student')
        self._request = GetStudent.Request(
            stream_id=stream_id, channel=channel.name if channel is not None else '')
        self._channel = channel
        self._on_student = on_student
        self._on_refused = on_refused
        self._pending: Any = None
        self._progress = False
        self._closed = False
        self._timers = [node.every(_POLL, self._ask), node.every(patience, self._forget)]

    def close(self) -> None:
        """Ask no more and ignore what still comes."""
        self._closed = True
        self._pending = None
        for timer in self._timers:
            self._node.destroy_timer(timer)
        self._timers = []
        self._node.destroy_client(self._client)

    def _ask(self) -> None:
        if self._pending is None and not self._closed and self._client.service_is_ready():
            self._progress = True  # the first look for patience comes too early
            self._pending = future = self._client.call_async(self._request)
            future.add_done_callback(self._on_response)

    def _forget(self) -> None:
        if self._pending is not None and not self._progress:
            self._client.remove_pending_request(self._pending)
            self._pending = None
        self._progress = False

    def _on_response(self, future: Future) -> None:
        if future is not self._pending:
            return
        try:
            response = future.result()
            if not response.success:
                raise WireError(response.message)
            info = info_from_response(response)
            if self._channel is not None and response.transfer:
                self._progress = True
                self._channel.expect(response.transfer, partial(
                    self._on_pieces, future, info), self._on_progress)
                return
            self._on_student(update_from_msg(response.student), info)
        except Exception as error:  # whatever is wrong with it, the tutor may be asked again
            self._refuse(error)

    def _on_progress(self) -> None:
        self._progress = True

    def _on_pieces(self, future: Future, info: StudentInfo, data: bytes) -> None:
        if future is not self._pending:
            return
        try:
            self._on_student(update_from_bytes(data), info)
        except Exception as error:
            self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        self._pending = None
        self._on_refused(str(error) or type(error).__name__)
