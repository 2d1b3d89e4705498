# SPDX-License-Identifier: Apache-2.0
"""A helper: runs a robot's student on the frames that the robot deals it."""

from __future__ import annotations

from collections.abc import Callable
import math
import time

import torch

from shadowtutor_ros.model.device import is_broken
from shadowtutor_ros.model.engine import pick_precision
from shadowtutor_ros.model.groups import FULL, shapes_of
from shadowtutor_ros.model.network import Features, Trunk
from shadowtutor_ros.model.student import Mask, Student
from shadowtutor_ros.tasks.table import SEGMENTATION
from shadowtutor_ros.wire.errors import BadJob, StaleUpdate
from shadowtutor_ros.wire.jobs import (
    decode_order,
    encode_done,
    encode_need,
    encode_undone,
    FeaturesOrder,
    FrameOrder,
    PackedUpdate,
    WholeStudent,
)
from shadowtutor_ros.wire.key_frame import decode_frame, MAX_PIXELS
from shadowtutor_ros.wire.update import StudentUpdate, verify_update
from shadowtutor_ros.wire.whole import unpack_student

_MEMORY = 0.9  # of the average time of a frame


class Helper:
    """
    Has the student that the robot runs, and does what its payloads ask for, in their order.

    ``read_update`` makes an update of the bytes in which it travels, and raises BadUpdate. One
    thread calls ``handle``; others may look at the counters. ``needs`` says why it has no weights,
    empty while it has; ``service_seconds`` is a moving average, NaN before the first mask.
    """

    def __init__(
        self, device: torch.device, read_update: Callable[[bytes], StudentUpdate],
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.session_id = self.version = 0
        self.frames = self.failures = 0
        self.service_seconds = math.nan
        self.needs = 'no student yet'
        self._device = device
        self._read_update = read_update
        self._max_pixels = max_pixels
        self._student: Student | None = None

    def forget(self, why: str) -> None:
        """Have no weights any more; whoever comes next sends a whole student."""
        self._student = None
        self.session_id = self.version = 0
        self.needs = why

    def handle(self, payload: bytes, waited: float = 0.0) -> bytes | None:
        """
        Do what a payload asks for and return the answer; None where there is none to give.

        It has ``waited`` here for so many seconds, for others that were before it.
        A student or an update that cannot be taken leaves it without weights, and the answer says
        so. Whatever goes wrong with a frame is that frame's answer, but a device that is broken
        for good raises.
        """
        started = time.perf_counter()
        try:
            order = decode_order(payload)
            if isinstance(order, FrameOrder | FeaturesOrder):
                return self._work(order, started, waited)
            self._learn(order)
            return None
        except Exception as error:  # whoever sends it may send anything
            if is_broken(error):
                raise
            self.failures += 1
            self.forget(f'{type(error).__name__}: {error}')
            return encode_need(self.needs)

    def _learn(self, order: WholeStudent | PackedUpdate) -> None:
        if isinstance(order, WholeStudent):
            self._student = self._made(order)
            self.session_id, self.version, self.needs = order.session_id, order.version, ''
            return
        if self._student is None:
            raise StaleUpdate(f'an update for a helper without weights: {self.needs}')
        update = self._read_update(order.data)
        self._student.load(verify_update(update, self._student, self.session_id, self.version))
        self.session_id, self.version = update.session_id, update.version

    def _made(self, order: WholeStudent) -> Student:
        """Return a student in the robot's precision: in another one masks would not be alike."""
        if order.info.task != SEGMENTATION:
            raise BadJob(f'task: expected {SEGMENTATION}, got {order.info.task!r}')
        precision = pick_precision(order.precision, self._device)
        student = Student(order.info, order.info.network(), self._device, precision)
        student.load(unpack_student(order.weights, shapes_of(student.weights(FULL))))
        return student

    def _work(
        self, order: FrameOrder | FeaturesOrder, started: float, waited: float,
    ) -> bytes:
        try:
            mask = self._mask(order)
            answer = encode_done(order.number, mask, time.perf_counter() - started, waited)
        except Exception as error:
            if is_broken(error):
                raise
            self.failures += 1
            return encode_undone(order.number, f'{type(error).__name__}: {error}')
        seconds = time.perf_counter() - started
        self.frames += 1
        self.service_seconds = seconds if math.isnan(self.service_seconds) else (
            _MEMORY * self.service_seconds + (1 - _MEMORY) * seconds)
        return answer

    def _mask(self, order: FrameOrder | FeaturesOrder) -> Mask:
        student = self._student
        if student is None:
            raise BadJob(f'no weights: {self.needs}')
        if (order.session_id, order.version) != (self.session_id, self.version):
            raise BadJob(f'expected a frame for version {self.version} of session '
                         f'{self.session_id:016x}, got one for {order.version} of '
                         f'{order.session_id:016x}')
        if isinstance(order, FrameOrder):
            return student.segment(decode_frame(order.encoded, self._max_pixels))
        if not isinstance(student.network, Trunk):
            raise BadJob(f'{student.info.architecture} has no such features')
        dtype = torch.float32 if student.precision == torch.float32 else None
        sb4, sb2, sb1 = (each.to(student.device, dtype) for each in order.features[:3])
        return student.back(
            Features(sb4, sb2, sb1, order.features.stem_size), order.size)
