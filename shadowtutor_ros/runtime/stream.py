# SPDX-License-Identifier: Apache-2.0
"""One robot's camera stream at the tutor: the whole lesson of one key frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
import math
import secrets
import time

import torch
from torch import Tensor

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.distill.trainer import Lesson, OnStep, Trainer
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Mask, Student
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.encoder import Draft, Encoder, exact, intra, WeightSettings
from shadowtutor_ros.wire.update import NO_SESSION, StudentUpdate
from shadowtutor_ros.wire.weights import EncodedWeights

_TOLERANCE = 0.01  # of the metric on the key frame: a lesson may lose so much by being sent


@dataclass(frozen=True)
class Running:
    """What a robot says that it runs: a version of a session."""

    session_id: int
    version: int


class FirstStudent:
    """
    The student that every stream begins with, as robots get it: encoded once.

    ``weights`` is the whole student on the wire, ``student`` has what is decoded from it.
    """

    def __init__(self, student: Student, settings: WeightSettings) -> None:
        draft = intra(student.weights(FULL), settings)
        self.weights = draft.weights
        self.student = student.clone()
        self.student.load(draft.decoded)


@dataclass(frozen=True)
class _Given:
    """A version that the robot may have, whole; nobody changes its tensors."""

    version: int
    tensors: Mapping[str, Tensor]


class Stream:
    """
    A session of one stream: its student, its trainer, its encoder and its count of versions.

    Version 0 is the first student. ``base_version`` is the version at which the frozen front
    last changed: a robot that runs an older one cannot use a partial update. One thread at a
    time teaches; ``whole`` may be called from any.
    """

    def __init__(
        self, stream_id: str, first: FirstStudent, distill: DistillSettings,
        weights: WeightSettings,
    ) -> None:
        self.stream_id = stream_id
        self.session_id = NO_SESSION
        while self.session_id == NO_SESSION:
            self.session_id = secrets.randbits(64)
        self.version = self.base_version = 0
        self.key_frames = 0
        self.lesson = Lesson(FULL, math.nan, math.nan, 0)
        self._student = first.student.clone()
        self._trainer = Trainer(self._student, distill)
        self._encoder = Encoder(weights)
        self._given = _Given(0, self._copy())
        self._whole = (0, first.weights)
        self._encoder.keep(0, self._given.tensors)

    def change(self, settings: DistillSettings) -> None:
        """Train by other settings from the next key frame on; the learning rate stays."""
        self._trainer.settings = settings

    def teach(
        self, frame: Frame, labelling: Labelling, running: Running,
        on_step: OnStep | None = None,
    ) -> StudentUpdate:
        """
        Train on one labelled key frame and return what a robot that runs ``running`` needs.

        ``frame`` is BGR uint8 HxWx3. The student is then as the robot will have it. A version
        is counted even when ``on_step`` raises, which ends the lesson with the best weights
        found so far. Raise BadLabelling or NonFiniteUpdate.
        """
        started = time.monotonic()
        self.version += 1
        if self._trainer.group == FULL:
            self.base_version = self.version
        lesson = self._trainer.train(frame, labelling, on_step)
        trained = time.monotonic()
        base = running.version if running.session_id == self.session_id else None
        group = self._group_for(base, lesson.group)
        draft, metric = self._draft(group, base, lesson, frame, labelling)
        self.lesson = lesson = replace(lesson, metric=metric)
        self.key_frames += 1
        self._given = _Given(self.version, self._copy())
        self._encoder.sent(draft, self.version, self._given.tensors, base)
        return replace(
            self._update(draft.weights, group, self.version),
            base_version=self._base_version(draft, group, base),
            initial_metric=lesson.initial_metric, metric=metric, steps=lesson.steps,
            training_time=trained - started)

    def whole(self) -> StudentUpdate:
        """
        Return the whole student of the newest version that a robot was given, without loss.

        It changes nothing: a robot may ask as often as it likes.
        """
        given, (version, weights) = self._given, self._whole
        if version != given.version:
            weights = exact(given.tensors)
            self._whole = (given.version, weights)
        return self._update(weights, FULL, given.version)

    def mask(self, frame: Frame) -> Mask:
        """Return the HxW mask of a BGR uint8 HxWx3 frame, by the weights of the last lesson."""
        return self._student.segment(frame)

    def _group_for(self, base: int | None, group: str) -> str:
        """Return what a robot at ``base`` needs: ``group``, or ``full`` if its front is old."""
        known = base is not None and self.base_version <= base < self.version
        return group if known else FULL

    def _base_version(self, draft: Draft, group: str, base: int | None) -> int:
        if draft.inter:
            assert base is not None
            return base
        return 0 if group == FULL else self.base_version

    def _draft(
        self, group: str, base: int | None, lesson: Lesson, frame: Frame, labelling: Labelling,
    ) -> tuple[Draft, float]:
        """
        Return the shortest draft that keeps the lesson, and its metric on the key frame.

        The student is left as the robot will have it.
        """
        # Copies, because what is judged is judged in the same student.
        trained = {name: t.clone() for name, t in self._student.weights(group).items()}
        metric, student = lesson.metric, self._student
        target = student.task.target(
            labelling, (frame.shape[0], frame.shape[1]), student.network.classes)
        for draft in self._encoder.drafts(trained, base):
            student.load(draft.decoded)
            if draft.inter:
                metric = student.task.metric(torch.from_numpy(student.segment(frame)), target)
            if metric >= lesson.metric - _TOLERANCE:
                break
        return draft, metric

    def _update(self, weights: EncodedWeights, group: str, version: int) -> StudentUpdate:
        return StudentUpdate(
            stream_id=self.stream_id, sequence=0, stamp=0, frame_id='',
            layout_hash=self._student.layout_hash, group=group, session_id=self.session_id,
            base_version=0, version=version, weights=weights)

    def _copy(self) -> dict[str, Tensor]:
        return {name: t.clone() for name, t in self._student.weights(FULL).items()}
