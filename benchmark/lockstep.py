# SPDX-License-Identifier: Apache-2.0
"""
A tutor that works in lock-step: what the product's pipeline is compared with.

One key frame at a time, in the order in which they came, with all threads: decode, ask the
teacher, train, judge what would be sent, pack it, answer; then the next one. So did the product
at commit 8274e11. Nothing here is used by the product, and nothing of its trainer or its tutor is
used here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
import threading
import time
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL, parameters_of, PARTIAL
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.schedule.turns import Superseded
from shadowtutor_ros.teacher.protocol import Labelling, Teacher
from shadowtutor_ros.wire.encoder import Draft, Encoder, exact, intra, WeightSettings
from shadowtutor_ros.wire.key_frame import decode_frame
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate
from shadowtutor_ros.wire.weights import EncodedWeights

# Of the metric on the key frame: what a lesson may lose by being sent, and at most as differences.
TOLERANCE, BEARABLE = 0.01, 0.1


class Taught(NamedTuple):
    """What a lesson trained, the task's metric (0-1) before and after it, and its steps."""

    group: str
    initial_metric: float
    metric: float
    steps: int


class PlainLessons:
    """Algorithm 1 step by step, the host waiting for each; Adam's moments stay for the next."""

    def __init__(self, student: Student, settings: DistillSettings) -> None:
        self.student = student
        self.settings = settings
        self.cold = True
        self._lessons = 0
        self._optimizer = torch.optim.Adam(
            student.network.parameters(), lr=settings.learning_rate)

    @property
    def group(self) -> str:
        """The parameter group that the next lesson trains."""
        return self.settings.cold_start_group if self.cold else self.settings.group

    def teach(self, frame: Frame, labelling: Labelling) -> Taught:
        """Teach a labelled BGR uint8 HxWx3 key frame; the student keeps the best weights."""
        student, settings, task = self.student, self.settings, self.student.task
        size, group = (frame.shape[0], frame.shape[1]), self.group
        limit = settings.cold_start_updates if self.cold else settings.max_updates
        self._lessons += 1
        target = task.target(labelling, size, student.network.classes, student.device,
                             settings.emphasis)
        parameters = parameters_of(student.network, group)
        best = {name: p.detach().clone() for name, p in parameters.items()}
        forward = self._forward(frame, group)

        def metric_of(output: Tensor) -> float:
            return float(task.metric(task.answer(output.detach(), size), target))

        output, steps = forward(), 0
        initial = best_metric = metric_of(output)
        while best_metric < settings.threshold and steps < limit:
            loss = task.loss(output, target)
            if not torch.isfinite(loss):
                break
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            steps += 1
            output = forward()
            if not torch.isfinite(output).all():
                break
            metric = metric_of(output)
            if metric > best_metric:
                best_metric = metric
                for name, parameter in parameters.items():
                    best[name].copy_(parameter.detach())
        student.load(best)
        if (best_metric >= settings.threshold
                or self._lessons == settings.cold_start_key_frames):
            self.cold = False
        return Taught(group, initial, best_metric, steps)

    def _forward(self, frame: Frame, group: str) -> Callable[[], Tensor]:
        network: Any = self.student.network
        trained = parameters_of(network, group).keys()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        plain = group == FULL and self.student.device.type == 'cpu'
        layout = torch.contiguous_format if plain else torch.channels_last
        network.to(memory_format=layout)
        x = self.student.prepare(frame).contiguous(memory_format=layout)
        if group == PARTIAL:
            with torch.no_grad():
                features = network.front(x)
            return lambda: network.back(features)
        return lambda: network.back(network.front(x))


class _Stream:
    """A robot's student with its trainer and its encoder."""

    def __init__(
        self, stream_id: str, session_id: int, first: Student, settings: DistillSettings,
    ) -> None:
        self.stream_id, self.session_id = stream_id, session_id
        self.version = self._base_version = 0
        self._student = first.clone()
        self._lessons = PlainLessons(self._student, settings)
        self._encoder = Encoder(WeightSettings())
        self._encoder.keep(0, self._copy())

    def whole(self) -> StudentUpdate:
        """Return the student as the robot has it."""
        return self._update(exact(self._student.weights(FULL)), FULL)

    def teach(self, frame: Frame, labelling: Labelling, key_frame: KeyFrame) -> StudentUpdate:
        """Return what the robot that sent ``key_frame`` needs to run what was learnt on it."""
        started = time.monotonic()
        self.version += 1
        if self._lessons.group == FULL:
            self._base_version = self.version
        taught = self._lessons.teach(frame, labelling)
        trained_at = time.monotonic()
        base = key_frame.student_version if key_frame.session_id == self.session_id else None
        known = base is not None and self._base_version <= base < self.version
        group = taught.group if known else FULL
        student, metric = self._student, taught.metric
        trained = {name: t.clone() for name, t in student.weights(group).items()}
        target = student.task.target(
            labelling, (frame.shape[0], frame.shape[1]), student.network.classes)
        sent: Draft | None = None
        for draft in self._encoder.drafts(trained, base):
            if not draft.inter:
                if sent is None or metric < taught.metric - BEARABLE:
                    sent, metric = draft, taught.metric
                break
            student.load(draft.decoded)
            sent, metric = draft, float(student.task.metric(
                torch.from_numpy(student.segment(frame)), target))
            if metric >= taught.metric - TOLERANCE:
                break
        assert sent is not None
        draft = sent
        student.load(draft.decoded)
        self._encoder.sent(draft, self.version, self._copy(), base)
        base_version = (base or 0) if draft.inter else 0 if group == FULL else self._base_version
        return replace(
            self._update(draft.weights, group), base_version=base_version, metric=metric,
            initial_metric=taught.initial_metric, steps=taught.steps,
            training_time=trained_at - started)

    def _update(self, weights: EncodedWeights, group: str) -> StudentUpdate:
        return StudentUpdate(
            stream_id=self.stream_id, sequence=0, stamp=0, frame_id='',
            layout_hash=self._student.layout_hash, group=group, session_id=self.session_id,
            base_version=0, version=self.version, weights=weights)

    def _copy(self) -> dict[str, Tensor]:
        return {name: t.clone() for name, t in self._student.weights(FULL).items()}


@dataclass(frozen=True)
class _Job:
    key_frame: KeyFrame
    arrived: float
    future: Future[StudentUpdate]


class LockStepTutor:
    """Serves robots as the product's Tutor does, one at a time in one thread of its own."""

    def __init__(
        self, teacher: Teacher, first_student: Student, settings: DistillSettings,
        threads: int | None = None,
    ) -> None:
        """``threads``: torch's of the lesson; None: as many as torch takes by itself."""
        self._teacher, self._settings, self._threads = teacher, settings, threads
        self._first = first_student.clone()
        self._first.load(intra(first_student.weights(FULL), WeightSettings()).decoded)
        self._streams: dict[str, _Stream] = {}
        self._waiting: OrderedDict[str, _Job] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name='lock-step')
        self._thread.start()

    def first_student(self, stream_id: str, robot: int = 0) -> StudentUpdate:
        """Return the stream's whole student; before its first key frame."""
        return self._stream(stream_id).whole()

    def submit(self, key_frame: KeyFrame) -> Future[StudentUpdate]:
        """Return the answer to come; an older key frame of the stream that waits is Superseded."""
        job = _Job(key_frame, time.monotonic(), Future())
        with self._changed:
            older = self._waiting.pop(key_frame.stream_id, None)
            self._waiting[key_frame.stream_id] = job
            self._changed.notify()
        if older is not None:
            older.future.set_exception(Superseded(
                f'key frame {older.key_frame.sequence} of {key_frame.stream_id!r}: '
                'a newer one came before its turn'))
        return job.future

    def close(self) -> None:
        """Teach what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _stream(self, stream_id: str) -> _Stream:
        with self._changed:
            if stream_id not in self._streams:
                self._streams[stream_id] = _Stream(
                    stream_id, len(self._streams) + 1, self._first, self._settings)
            return self._streams[stream_id]

    def _work(self) -> None:
        if self._threads is not None:
            torch.set_num_threads(self._threads)  # holds for the thread that says it
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                _, job = self._waiting.popitem(last=False)
            try:
                update = self._answer(job)
            except Exception as error:  # is that key frame's answer
                job.future.set_exception(error)
            else:
                job.future.set_result(update)

    def _answer(self, job: _Job) -> StudentUpdate:
        key_frame, started = job.key_frame, time.monotonic()
        stream = self._stream(key_frame.stream_id)
        frame = decode_frame(key_frame.encoded)
        labelling = self._teacher.label(frame, key_frame.stamp * 1e-9)
        labelled = time.monotonic()
        update = stream.teach(frame, labelling, key_frame)
        return replace(
            update, sequence=key_frame.sequence, stamp=key_frame.stamp,
            frame_id=key_frame.frame_id, queue_time=started - job.arrived,
            teacher_time=labelled - started)
