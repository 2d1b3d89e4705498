# SPDX-License-Identifier: Apache-2.0
"""One robot's camera stream at the tutor: the whole lesson of one key frame."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
import logging
import math
import time

import numpy as np
from torch import Tensor

from shadowtutor_ros.distill.memory import Example, KeyFrameMemory
from shadowtutor_ros.distill.state import TrainingState
from shadowtutor_ros.distill.trainer import Lesson, OnStep, Trainer
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.groups import FULL, Shapes, shapes_of
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.runtime.lesson_watch import LessonWatch, TimeIsUp
from shadowtutor_ros.runtime.library import Library
from shadowtutor_ros.runtime.session import Running, Session
from shadowtutor_ros.schedule.load import Effort, steps_allowed
from shadowtutor_ros.schedule.scene_watch import SceneWatch
from shadowtutor_ros.snapshot import (
    array_from,
    array_of,
    BadSnapshot,
    number_from,
    Snapshot,
    tensor_from,
)
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.encoder import Draft, Encoder, exact, intra, WeightSettings
from shadowtutor_ros.wire.update import StudentUpdate
from shadowtutor_ros.wire.weights import EncodedWeights

_LOG = logging.getLogger(__name__)
_VERSIONS = 3  # kept at most: what the robot runs, what it was given, what it is given next
_REMEMBERED = 64 << 20  # bytes of key frames, in the host's memory
# Before the first lesson of a student that another tutor has taught, steps; and seconds that both
# may take where lessons have a limit: the robot has waited long enough.
_REHEARSED, _SOON = 4, 4.0
# Of the metric on the key frame: what a lesson may lose by being sent, and at most as differences.
_TOLERANCE, _BEARABLE = 0.015, 0.1
# Key frames from one student in the library to the next: while a scene lasts, and where it ends.
_EVERY, _SCENE = 16, 3


class _SceneChanged(Exception):
    """A lesson starts far below what is usual."""


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


def stream_bytes(state: TrainingState) -> int:
    """
    Return the most bytes that the students of a stream take on the device of a ``state`` like its.

    On a CPU that is also where the versions lie that its robot may run.
    """
    return state.nbytes + (_version_bytes(state) if state.back.weights.device.type == 'cpu' else 0)


def host_bytes(state: TrainingState, replay: int) -> int:
    """Return the most bytes that a stream takes beside that of the host's memory, wherever."""
    versions = 0 if state.back.weights.device.type == 'cpu' else _version_bytes(state)
    return versions + (_REMEMBERED if replay else 0)


def _version_bytes(state: TrainingState) -> int:
    return sum(tensor.nbytes for tensor in state.weights(FULL).values()) * _VERSIONS


@dataclass(frozen=True)
class _Given:
    """A version that the robot may have, whole; nobody changes its tensors."""

    version: int
    tensors: Mapping[str, Tensor]


class Stream:
    """
    A session of one stream: its student in training, its encoder and its count of versions.

    Version 0 is the first student. ``base_version`` is the version at which the frozen front
    last changed: a robot that runs an older one cannot use a partial update. ``lesson`` is the
    last one and ``effort`` what it took; ``started_from`` is the last student of the ``library``
    that a lesson started from, empty if none did, and ``gained`` what it was better by. One
    thread at a time teaches or takes a snapshot; ``whole`` may be called from any.
    """

    def __init__(
        self, stream_id: str, first: FirstStudent, weights: WeightSettings,
        library: Library | None = None,
    ) -> None:
        self.stream_id = stream_id
        self._session = Session()
        self.base_version = 0
        self.key_frames = 0
        self.lesson = Lesson(FULL, math.nan, math.nan, 0)
        self.effort = Effort(0.0, 0.0, 0, 0, 0)
        self._memory = KeyFrameMemory(_REMEMBERED)
        self.started_from, self.gained = '', 0.0
        self._library = library
        self._scene = SceneWatch()
        self._left = 0  # key frames when the library got a student last
        self._rehearses = False
        self._layout_hash = first.student.layout_hash
        self._state = TrainingState(first.student.network, first.student.device)
        self._encoder = Encoder(weights)
        self._given = _Given(0, self._state.on_host(FULL))
        self._whole = (self._given, first.weights)
        self._encoder.keep(0, self._given.tensors)

    @classmethod
    def restored(
        cls, stream_id: str, first: FirstStudent, weights: WeightSettings, snapshot: Snapshot,
        library: Library | None = None,
    ) -> Stream:
        """
        Return a stream that goes on from a snapshot; raise BadSnapshot.

        What was taught after it is lost, so its next versions are numbered beyond those: no two
        students of a session have one version.
        """
        stream = cls(stream_id, first, weights, library)
        shapes = shapes_of(first.student.weights(FULL))
        stream._state.restore(snapshot)
        versions = _versions_from(snapshot, shapes)
        stream._encoder.restore(snapshot, versions, shapes)
        stream._memory.restore(snapshot, first.student.network.classes)
        stream.base_version = number_from(snapshot, 'base_version')
        stream.key_frames = number_from(snapshot, 'key_frames')
        stream.lesson = Lesson(
            FULL, number_from(snapshot, 'initial_metric', np.float64),
            number_from(snapshot, 'metric', np.float64), number_from(snapshot, 'steps'))
        stream._scene = SceneWatch(number_from(snapshot, 'usual_metric', np.float64),
                                   number_from(snapshot, 'usual_lessons'))
        stream._left = number_from(snapshot, 'left')
        given = number_from(snapshot, 'given')
        if given not in versions:
            raise BadSnapshot(f'expected the weights of version {given}, '
                              f'got those of {sorted(versions)}')
        stream._given = _Given(given, versions[given])
        stream._session = Session.after(
            Running(number_from(snapshot, 'session_id', np.uint64),
                    number_from(snapshot, 'version')), versions)
        if library is not None:
            library.note(stream_id, versions[given])
        return stream

    @property
    def version(self) -> int:
        """The version counted last."""
        return self._session.version

    def needs(self, running: Running) -> bool:
        """Say whether it is only from the robot itself that it can have what that runs."""
        return running.can_go_on and not self._session.knows(running)

    def take_over(self, running: Running, tensors: Mapping[str, Tensor]) -> None:
        """
        Go on from the whole student that a robot runs and has handed up.

        Whoever taught it may have given more since: the next versions are beyond those. Its cold
        start is over. Where Adam's moments are not known the next lesson begins with a rehearsal.
        """
        self._session = Session.after(running, [running.version])
        self.base_version = running.version
        self._state.begin_from(tensors)
        self._state.was_good_enough |= running.version > 0
        self._rehearses = not self._state.has_moments
        self._given = _Given(running.version, self._state.on_host(FULL))
        self._encoder.begin_anew()
        self._encoder.keep(running.version, self._given.tensors)

    def snapshot(self) -> Snapshot:
        """Return all that ``restored`` needs, in the host's memory."""
        versions = {**self._encoder.versions, self._given.version: self._given.tensors}
        return {
            **self._state.snapshot(), **self._encoder.snapshot(), **self._memory.snapshot(),
            'versions': np.array(sorted(versions)),
            **{f'versions/{version}/{name}': array_of(tensor)
               for version, tensors in versions.items() for name, tensor in tensors.items()},
            'session_id': np.array(self._session.id, np.uint64),
            'version': np.array(self.version), 'given': np.array(self._given.version),
            'base_version': np.array(self.base_version), 'key_frames': np.array(self.key_frames),
            'initial_metric': np.array(self.lesson.initial_metric),
            'metric': np.array(self.lesson.metric), 'steps': np.array(self.lesson.steps),
            'usual_metric': np.array(self._scene.usual),
            'usual_lessons': np.array(self._scene.lessons), 'left': np.array(self._left)}

    def teach(
        self, trainer: Trainer, frame: Frame, labelling: Labelling, running: Running,
        on_step: OnStep | None = None, share: float = 1.0, seconds: float = math.inf,
    ) -> StudentUpdate:
        """
        Train on one labelled key frame and return what a robot that runs ``running`` needs.

        ``trainer`` is one for students like this, whoever it taught before; it keeps the key
        frame until it is closed. ``frame`` is BGR uint8 HxWx3, ``share`` the part of the steps
        that the load leaves; no step begins after so many ``seconds``, and the best weights until
        then are the lesson's. The student is then as the robot will have it. A version is counted
        even when ``on_step`` raises, which ends the lesson with the best weights found so far.
        Raise BadLabelling or NonFiniteUpdate.
        """
        started = time.monotonic()
        base = self._session.base(running)
        self._session.version += 1
        trainer.state.copy_(self._state)
        try:
            if trainer.group == FULL:
                self.base_version = self.version
            if self._rehearses:
                seconds = min(seconds, _SOON) if math.isfinite(seconds) else seconds
                with suppress(TimeIsUp):
                    trainer.rehearse(frame, labelling, _REHEARSED,
                                     LessonWatch(started + seconds / 2, None))
                self._state.copy_(trainer.state)
                self._rehearses = False
            limit = trainer.limit
            allowed = steps_allowed(limit, share)
            lesson = self._train_until(
                started + seconds, trainer, frame, labelling, on_step, allowed)
            self._memory.add(Example(frame, labelling), trainer.settings.replay)
            trained = time.monotonic()
            group = self._group_for(base, lesson.group)
            if group == FULL:  # its front is rounded on the way
                self.base_version = self.version
            draft, metric = self._draft(trainer, group, base, lesson)
        finally:
            self._state.copy_(trainer.state)
        self.lesson = lesson = replace(lesson, metric=metric)
        self.key_frames += 1
        self._given = _Given(self.version, self._state.on_host(FULL))
        if self.key_frames > 1:  # before it knew nothing
            self._scene.add(lesson.initial_metric)
        if self._library is not None:
            self._library.note(self.stream_id, self._given.tensors)
            self._leave(_EVERY)
        self._encoder.sent(draft, self.version, self._given.tensors, base)
        update = replace(
            self._update(draft.weights, group, self.version),
            base_version=self._base_version(draft, group, base),
            initial_metric=lesson.initial_metric, metric=metric, steps=lesson.steps,
            training_time=trained - started)
        self.effort = _effort(trained - started, time.monotonic() - started, lesson.steps,
                              allowed, limit)
        return update

    def retire(self) -> None:
        """Leave the student to the library: the stream has ended."""
        if self._library is not None:
            self._leave(1)
            self._library.forget(self.stream_id)

    def whole(self) -> StudentUpdate:
        """
        Return the whole student of the newest version that a robot was given, without loss.

        It changes nothing: a robot may ask as often as it likes.
        """
        given, (encoded, weights) = self._given, self._whole
        if encoded is not given:
            weights = exact(given.tensors)
            self._whole = (given, weights)
        return self._update(weights, FULL, given.version)

    def remembered(self) -> tuple[Example, Mapping[str, Tensor]] | None:
        """Return the newest key frame that is kept, and the weights after it; from any thread."""
        examples = list(self._memory)
        return (examples[-1], self._given.tensors) if examples else None

    def _train_until(
        self, end: float, trainer: Trainer, frame: Frame, labelling: Labelling,
        on_step: OnStep | None, allowed: int,
    ) -> Lesson:
        """Train, but begin no step after ``end`` of ``time.monotonic()``."""
        group, watch = trainer.group, LessonWatch(end, on_step)
        try:
            return self._train(trainer, frame, labelling, watch, allowed)
        except TimeIsUp:  # the best weights are in place
            _LOG.warning('%r: a lesson of %dx%d pixels was ended after %d steps: it took too long',
                         self.stream_id, *frame.shape[:2], watch.steps)
            return Lesson(group, watch.metrics[0], max(watch.metrics), watch.steps)

    def _train(
        self, trainer: Trainer, frame: Frame, labelling: Labelling, on_step: OnStep | None,
        allowed: int,
    ) -> Lesson:
        """Train, on a first key frame or another scene from what the library has for it."""
        library = self._library
        memory = [example for example in self._memory if example.frame.shape == frame.shape]
        if library is None:
            return trainer.train(frame, labelling, on_step, allowed, memory)

        def watch(step: int, metric: float, loss: float) -> None:
            if step == 0 and self._scene.changed(metric):
                raise _SceneChanged
            if on_step is not None:
                on_step(step, metric, loss)

        if self.key_frames:
            try:
                return trainer.train(frame, labelling, watch, allowed, memory)
            except _SceneChanged:
                trainer.state.copy_(self._state)
                self._leave(_SCENE)
        try:
            start = library.best(self.stream_id, self._given.tensors, trainer, frame, labelling)
        finally:  # the trainer's student is another one
            trainer.state.copy_(self._state)
        if start is None:
            return trainer.train(frame, labelling, on_step, allowed, memory)
        self.started_from, self.gained = start.id, start.gain
        self.base_version = self.version  # its front is another one
        self._encoder.begin_anew()
        trainer.state.begin_from(start.tensors)
        lesson = trainer.train(frame, labelling, on_step, allowed, memory)
        return replace(lesson, initial_metric=start.metric_before)

    def _leave(self, least: int) -> None:
        """Leave the student to the library, unless ``least`` key frames ago it had one of it."""
        if self._library is not None and self.key_frames >= self._left + least:
            self._library.keep(self.stream_id, self.key_frames, self._given.tensors)
            self._left = self.key_frames

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
        self, trainer: Trainer, group: str, base: int | None, lesson: Lesson,
    ) -> tuple[Draft, float]:
        """
        Return the shortest draft that keeps the lesson, and its metric on the key frame.

        If no difference does, it is the last of them, which has lost least; or all weights, a
        multiple of its bytes, where that has lost more than can be borne until the next key
        frame. The trainer's student is left as the robot will have it.
        """
        found: tuple[Draft, float] | None = None
        for draft in self._encoder.drafts(trainer.state.on_host(group), base):
            if draft.inter:
                found = draft, trainer.judge(draft.decoded)
                if found[1] >= lesson.metric - _TOLERANCE:
                    return found
            elif found is None or found[1] < lesson.metric - _BEARABLE:
                trainer.state.load(draft.decoded)
                return draft, lesson.metric
        assert found is not None
        return found

    def _update(self, weights: EncodedWeights, group: str, version: int) -> StudentUpdate:
        return StudentUpdate(
            stream_id=self.stream_id, sequence=0, stamp=0, frame_id='',
            layout_hash=self._layout_hash, group=group, session_id=self._session.id,
            base_version=0, version=version, weights=weights)


def _versions_from(snapshot: Snapshot, shapes: Shapes) -> dict[int, Mapping[str, Tensor]]:
    return {number: {name: tensor_from(snapshot, f'versions/{number}/{name}', shape)
                     for name, shape in shapes.items()}
            for number in array_from(snapshot, 'versions', np.int64).ravel().tolist()}


def _effort(training: float, whole: float, steps: int, allowed: int, limit: int) -> Effort:
    """Return what a lesson took of ``whole`` seconds, ``training`` of them with steps."""
    looks = steps + 1  # the first one is at the untrained student
    step = training / looks if steps else 0.0
    return Effort(whole - steps * step, step, steps, allowed, limit)
