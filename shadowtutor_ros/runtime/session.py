# SPDX-License-Identifier: Apache-2.0
"""A stream's session: how its versions count, and which of them a robot may name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
import secrets
from typing import NamedTuple

from shadowtutor_ros.model.student import Student
from shadowtutor_ros.wire.update import NO_SESSION

# Versions that may have been given after the last one that is known. As many again, by chance: a
# tutor that is killed twice in a row must not begin with the same numbers twice.
_GAP = 1000
_LAST = 2**32 - 1 - 2 * _GAP  # version from which no gap leads on in 32 bits


@dataclass(frozen=True)
class Running:
    """What a robot says that it runs: a version of a session."""

    session_id: int
    version: int

    @property
    def can_go_on(self) -> bool:
        """Say whether another tutor can count on from it."""
        return self.session_id != NO_SESSION and self.version < _LAST


class RunningStudent(NamedTuple):
    """A student with the session and version of its weights."""

    student: Student
    session_id: int
    version: int


class Session:
    """Counts versions from 0, the first student; no two students of a session have one version."""

    def __init__(self) -> None:
        self.id = _new_id()
        self.version = 0
        self._forgotten = range(0)  # versions that may have been given and are not known
        self._remembered: frozenset[int] = frozenset()  # but these of them are

    @classmethod
    def after(cls, known: Running, remembered: Collection[int]) -> Session:
        """
        Return the session of ``known`` that goes on beyond all that may have been given since.

        Of the versions until then only those ``remembered`` are known.
        """
        session = cls()
        session.id = known.session_id
        session.version = known.version + _GAP + secrets.randbelow(_GAP)
        session._forgotten = range(session.version + 1)
        session._remembered = frozenset(remembered)
        return session

    def knows(self, running: Running) -> bool:
        """Say whether a version was given in this session, and which weights it has is known."""
        return running.session_id == self.id and running.version <= self.version and (
            running.version not in self._forgotten or running.version in self._remembered)

    def base(self, running: Running) -> int | None:
        """
        Return the version that a robot runs, None if it is not known.

        One beyond all numbers ends the session: another one begins.
        """
        if running.session_id == self.id and running.version > self.version:
            self.id = _new_id()  # more was forgotten than the numbers leave room for
        return running.version if self.knows(running) else None


def _new_id() -> int:
    session_id = NO_SESSION
    while session_id == NO_SESSION:
        session_id = secrets.randbits(64)
    return session_id
