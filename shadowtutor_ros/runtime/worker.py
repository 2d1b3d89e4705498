# SPDX-License-Identifier: Apache-2.0
"""A tutor of a pool, wherever it is."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol, TypeVar

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.runtime.tutor import Tutor
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

T = TypeVar('T')


class WorkerLost(ShadowTutorError):
    """A worker that was asked something is gone."""


class Worker(Protocol):
    """A tutor somewhere; what is asked of it fails with WorkerLost when it is gone."""

    name: str

    def submit(self, key_frame: KeyFrame) -> Future[StudentUpdate]: ...

    def first_student(self, stream_id: str, robot: int) -> Future[StudentUpdate]: ...

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


class LocalWorker:
    """A tutor in this process, which is ready at once and never lost."""

    def __init__(self, name: str, tutor: Tutor) -> None:
        self.name = name
        self._tutor = tutor

    def submit(self, key_frame: KeyFrame) -> Future[StudentUpdate]:
        return self._tutor.submit(key_frame)

    def first_student(self, stream_id: str, robot: int) -> Future[StudentUpdate]:
        return _done(self._tutor.first_student(stream_id, robot))

    def report(self) -> Future[tuple[str, TutorReport]]:
        return _done(('this process', self._tutor.report()))

    def change(self, distill: DistillSettings) -> None:
        self._tutor.change(distill)

    def close(self) -> None:
        self._tutor.close()


def _done(value: T) -> Future[T]:
    future: Future[T] = Future()
    future.set_result(value)
    return future
