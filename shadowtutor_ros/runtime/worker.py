# SPDX-License-Identifier: Apache-2.0
"""A tutor of a pool, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol, TypeVar

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.runtime.recipe import TutorRecipe
from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.runtime.stream_states import CarriedStates
from shadowtutor_ros.runtime.tutor import Tutor
from shadowtutor_ros.snapshot import Snapshot
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

T = TypeVar('T')


class WorkerLost(ShadowTutorError):
    """A worker that was asked something is gone."""


class Worker(Protocol):
    """
    A tutor somewhere; what is asked of it fails with WorkerLost when it is gone.

    What is kept of a stream is ``brought`` to it with the first question about that stream.
    """

    name: str

    def submit(
        self, key_frame: KeyFrame, brought: Snapshot | None = None,
    ) -> Future[StudentUpdate]: ...

    def first_student(
        self, stream_id: str, robot: int, brought: Snapshot | None = None,
    ) -> Future[StudentUpdate]: ...

    def learnt(self, most: int) -> Future[Mapping[str, Snapshot]]:
        """Return what up to ``most`` streams have become since that was asked last."""

    def report(self) -> Future[tuple[str, TutorReport]]:
        """Return where it is, and what it does; the first answer comes when it is ready."""

    def change(self, distill: DistillSettings) -> None: ...

    def close(self) -> None:
        """End it, whatever it does."""


class Workers(Protocol):
    """Where workers come from."""

    def spawn(self, name: str) -> Worker:
        """Return a new one, which need not be ready."""

    def close(self) -> None:
        """Spawn no more; those that there are have been closed."""


class WorkingTutor:
    """A tutor as a worker has it in its process, with what its streams bring and learn."""

    def __init__(self, recipe: TutorRecipe, keeps: bool) -> None:
        """Remember what it ``keeps``, for whoever fetches it; raise as ``TutorRecipe.make``."""
        self._states = CarriedStates()
        self.tutor: Tutor = recipe.make(self._states if keeps else None)

    def submit(self, key_frame: KeyFrame, brought: Snapshot | None) -> Future[StudentUpdate]:
        self._bring(key_frame.stream_id, brought)
        return self.tutor.submit(key_frame)

    def first_student(
        self, stream_id: str, robot: int, brought: Snapshot | None,
    ) -> StudentUpdate:
        self._bring(stream_id, brought)
        return self.tutor.first_student(stream_id, robot)

    def learnt(self, most: int) -> Mapping[str, Snapshot]:
        return self._states.fetch(most)

    def _bring(self, stream_id: str, brought: Snapshot | None) -> None:
        if brought is not None:
            self._states.bring(stream_id, brought)
            self.tutor.reopen(stream_id)  # it may have taught that stream before


class LocalWorker:
    """A tutor in this process, which is ready at once and never lost."""

    def __init__(self, name: str, working: WorkingTutor) -> None:
        self.name = name
        self._working = working

    def submit(
        self, key_frame: KeyFrame, brought: Snapshot | None = None,
    ) -> Future[StudentUpdate]:
        return self._working.submit(key_frame, brought)

    def first_student(
        self, stream_id: str, robot: int, brought: Snapshot | None = None,
    ) -> Future[StudentUpdate]:
        return _done(self._working.first_student(stream_id, robot, brought))

    def learnt(self, most: int) -> Future[Mapping[str, Snapshot]]:
        return _done(self._working.learnt(most))

    def report(self) -> Future[tuple[str, TutorReport]]:
        return _done(('this process', self._working.tutor.report()))

    def change(self, distill: DistillSettings) -> None:
        self._working.tutor.change(distill)

    def close(self) -> None:
        self._working.tutor.close()


def _done(value: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(value)
    return future
