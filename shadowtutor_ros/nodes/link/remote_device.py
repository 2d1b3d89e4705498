# SPDX-License-Identifier: Apache-2.0
"""A helper as the robot's dealer of frames sees it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import queue
import threading
import time

from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.payload_stream import PayloadStream
from shadowtutor_ros.nodes.link.piece_channel import DOWN, UP
from shadowtutor_ros.runtime.device import DealtJob, Device, Done
from shadowtutor_ros.runtime.frame_packing import FramePacking
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.wire.errors import BadJob, WireError
from shadowtutor_ros.wire.jobs import (
    decode_answer,
    encode_features,
    encode_job,
    encode_student,
    encode_update,
    MAX_ANSWER,
)
from shadowtutor_ros.wire.key_frame import MAX_PIXELS
from shadowtutor_ros.wire.piece_messages import update_to_bytes
from shadowtutor_ros.wire.seal import Seal
from shadowtutor_ros.wire.update import StudentUpdate

_Make = Callable[[], bytes]


class RemoteDevice:
    """
    A Device behind the pieces of ``topics``, their prefix.

    A thread encodes and sends what it is told, in order. ``on_done`` gets its answers;
    ``on_lost`` is told when nothing can be expected of it any more, and why, and ``on_sign`` of
    all that is heard of it.
    """

    def __init__(
        self, channels: ChannelNode, name: str, topics: str, packing: FramePacking,
        on_done: Callable[[Device, Done], None], on_lost: Callable[[str], None],
        on_sign: Callable[[], None], seal: Seal, max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.name = name
        self._packing = packing
        self._on_done = on_done
        self._on_lost = on_lost
        self._max_pixels = max_pixels
        self._given: dict[int, tuple[float, DealtJob]] = {}  # not answered yet, and since when
        self._waiting: queue.SimpleQueue[tuple[int, _Make] | None] = queue.SimpleQueue()
        self._closed = False
        self._stream = PayloadStream(
            channels, topics, UP, DOWN, MAX_ANSWER, self._on_answer, on_sign, seal)
        self._thread = threading.Thread(target=self._send, name='to a helper', daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Return how many jobs it has not answered."""
        return len(self._given)

    def learn(self, student: RunningStudent | StudentUpdate) -> None:
        if isinstance(student, StudentUpdate):
            self._put(0, partial(_payload_of, student))
            return
        running, session_id, version = student
        weights = {name: tensor.clone() for name, tensor in running.weights(FULL).items()}
        self._put(0, partial(
            encode_student, running.info, weights, running.precision, session_id, version))

    def work(self, job: DealtJob) -> None:
        self._given[job.number] = time.perf_counter(), job
        self._put(job.number, partial(self._payload, job))

    def close(self) -> None:
        """Answer no more and end the thread."""
        self._closed = True
        self._waiting.put(None)
        self._stream.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _put(self, number: int, make: _Make) -> None:
        if not self._closed:
            self._waiting.put((number, make))

    def _send(self) -> None:
        while (order := self._waiting.get()) is not None and not self._closed:
            number, make = order
            try:
                payload = make()
            except WireError as error:
                self._answer(number, None, f'{type(error).__name__}: {error}')
                continue
            self._stream.send(payload)

    def _payload(self, job: DealtJob) -> bytes:
        if job.features is not None:
            return encode_features(job.number, job.version, job.picture.size, job.features)
        return encode_job(
            job.number, job.version, self._packing.pack(job.picture, self._stream.path))

    def _on_answer(self, stream: PayloadStream, payload: bytes) -> None:
        if self._closed:
            return
        try:
            answer = decode_answer(payload, self._max_pixels)
        except BadJob as error:
            self._on_lost(f'what it answers cannot be read: {error}')
            return
        if answer.needs_student:
            self._on_lost(f'has no weights: {answer.error}')
            return
        self._answer(answer.number, answer.mask, answer.error, answer.service_seconds,
                     answer.waited_seconds)

    def _answer(
        self, number: int, mask: Mask | None, error: str, service: float = 0.0,
        waited: float = 0.0,
    ) -> None:
        if number not in self._given or self._closed:
            return
        given, job = self._given.pop(number)
        size = job.picture.size
        if mask is not None and mask.shape != size:
            error = f'expected a mask of {size[0]}x{size[1]}, got {mask.shape}'
            mask = None
        if mask is None:
            service = waited = 0.0
        self._on_done(self, Done(number, mask, error, service, max(
            0.0, time.perf_counter() - given - service - waited)))


def _payload_of(update: StudentUpdate) -> bytes:
    return encode_update(update_to_bytes(update))
