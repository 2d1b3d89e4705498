# SPDX-License-Identifier: Apache-2.0
"""Asks a tutor for a stream's student (Algorithm 3, line 1) until it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
import time
from typing import Any, Protocol

from rclpy.task import Future
from shadowtutor_msgs.srv import GetStudent

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes.link.piece_channel import new_transfer, PieceChannel
from shadowtutor_ros.nodes.link.rivals import count_tutors, rivalry
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.wire.errors import WireError
from shadowtutor_ros.wire.messages import info_from_response, quoted, update_from_msg
from shadowtutor_ros.wire.piece_messages import message_from_bytes
from shadowtutor_ros.wire.seal import answer_to, BadTag, Seal
from shadowtutor_ros.wire.update import StudentUpdate

_POLL = 0.5  # seconds between looks for the tutor
_SOON = 2.0  # seconds: pieces that are on their way begin to come within


class Asked(Protocol):
    """
    A tutor as a robot knows it: its ``name``, and where pieces to and from it go.

    ``processes`` of that name have come so far.
    """

    name: str
    channel: PieceChannel | None
    processes: int

    def is_gone(self) -> bool:
        """Say whether there was one, and is none any more."""

    def lost(self) -> int:
        """Return how many have ended that the graph still remembers."""


class StudentRequest:
    """
    One request at a time to ``<tutor>/get_student``, until ``on_student`` takes the answer.

    ``on_student`` may refuse it, with a ShadowTutorError or ValueError; ``on_refused`` is told
    why, and the tutor is asked again. A tutor answers at once: a request is lost when nothing,
    no answer and no piece, has come for ``patience`` seconds, or when another process has come.
    One that is gone is not asked, but where it was it may still answer: on a slow link its lease
    waits behind the student. ``on_nobody`` is told when there is no tutor, or none that answers or
    gives a student: it may ``turn_to`` another one. With a key in ``seal`` what has no right tag
    is no answer; without one nothing is taken while several nodes offer one name.
    """

    def __init__(
        self, node: ManagedNode, tutor: Asked, stream_id: str, robot: int, patience: float,
        on_student: Callable[[StudentUpdate, StudentInfo], None],
        on_refused: Callable[[str], None], seal: Seal,
        on_nobody: Callable[[], object] = lambda: None,
    ) -> None:
        self._node = node
        self._client: Any = None
        self.turn_to(tutor)
        self._fields = {'stream_id': stream_id, 'robot': robot}
        self._seal = seal
        self._patience = patience
        self._on_student = on_student
        self._on_refused = on_refused
        self._on_nobody = on_nobody
        self._closed = False
        self._heard = 0.0  # time.monotonic() of the last sign of the answer
        self._timer = node.every(_POLL, self._ask)

    def turn_to(self, tutor: Asked) -> None:
        """Ask another tutor from the next time on; ignore what the last one still says."""
        self._pending: Any = None
        if self._client is not None:
            self._node.destroy_client(self._client)
        self._tutor, self._channel = tutor, tutor.channel
        self._processes = 0  # when it was asked
        self._client = self._node.create_client(GetStudent, f'{tutor.name}/get_student')

    def close(self) -> None:
        """Ask no more and ignore what still comes."""
        self._closed = True
        self._pending = None
        self._node.destroy_timer(self._timer)
        self._node.destroy_client(self._client)

    def _ask(self) -> None:
        lost = time.monotonic() >= self._heard + self._patience
        if self._tutor.is_gone() or not self._client.service_is_ready() or (
                self._pending is not None and lost):
            self._on_nobody()  # which may turn to another one
        if self._pending is not None:
            # The first one may be heard of only after it was asked.
            if not lost and self._tutor.processes <= max(1, self._processes):
                return
            self._client.remove_pending_request(self._pending)
            self._pending = None
        if not self._closed and not self._tutor.is_gone() and self._client.service_is_ready():
            self._hear()
            self._processes = self._tutor.processes
            request = self._seal.sign(GetStudent.Request(
                **self._fields, channel='' if self._channel is None else self._channel.name,
                transfer=new_transfer(), moment=time.monotonic_ns()))
            self._pending = future = self._client.call_async(request)
            question = answer_to(request)
            if self._channel is not None:
                self._channel.expect(
                    request.transfer, partial(self._on_pieces, future, question), self._hear)
            future.add_done_callback(partial(self._on_response, question))

    def _hear(self) -> None:
        self._heard = time.monotonic()

    def _on_response(self, question: bytes, future: Future) -> None:
        if future is not self._pending:
            return
        with self._refusing():
            self._on_answer(future.result(), question)

    def _on_pieces(self, future: Future, question: bytes, data: bytes) -> None:
        if future is not self._pending:
            return
        with self._refusing():
            self._on_answer(message_from_bytes(data, GetStudent.Response), question)

    def _on_answer(self, response: GetStudent.Response, question: bytes) -> None:
        if self._seal.keyed:
            try:
                self._seal.check(response, question)
            except BadTag as error:
                self._on_refused(f'somebody answered: {error}')
                # The tutor may not have heard the request: only who answered was known by then.
                self._heard = time.monotonic() - self._patience + min(self._patience, _SOON)
                return
        self._hear()
        if not response.success:
            raise WireError(quoted(response.message))
        if response.transfer and self._channel is not None:
            return  # its pieces come, or have come
        self._seal.check(response, question)
        action = f'{self._tutor.name}/distill'
        if not self._seal.keyed and count_tutors(self._node, action, self._tutor.lost()) > 1:
            raise WireError(rivalry(action))
        self._on_student(update_from_msg(response.student, self._seal, question),
                         info_from_response(response))

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Ask again after an answer that is no good; any other error is the node's own."""
        try:
            yield
        except (ShadowTutorError, ValueError) as error:
            self._pending = None
            self._on_refused(str(error))
            self._on_nobody()
        except Exception as error:
            self._node.fail(error)
