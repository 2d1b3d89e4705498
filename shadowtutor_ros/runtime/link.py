# SPDX-License-Identifier: Apache-2.0
"""How a student reaches its tutor: the ROS action on a robot, a plain call in evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
import math
import time
from typing import Protocol

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.runtime.teaching import Teaching
from shadowtutor_ros.runtime.tutor import StudentNeeded
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


class Refusal(Enum):
    """
    What can be done about a key frame that a tutor does not answer.

    NEEDS_STUDENT: it does not know the weights that run here, and wants them with the next one.
    NOT_HERE: it does not take key frames of this robot now; another tutor may.
    """

    FAILED = 'failed'
    NEEDS_STUDENT = 'needs student'
    NOT_HERE = 'not here'


@dataclass(frozen=True)
class LinkFailure:
    """
    A key frame that will not be answered any more, and why.

    ``silent``: nothing was heard. ``gone``: because there is no tutor, which says nothing of the
    link.
    """

    reason: str
    silent: bool = False
    gone: bool = False
    refusal: Refusal = Refusal.FAILED


Reply = StudentUpdate | LinkFailure


class Link(Protocol):
    """
    Carries one key frame at a time.

    ``answered_at`` is when the last reply came, in seconds of ``time.perf_counter()``.
    """

    @property
    def answered_at(self) -> float: ...

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        """
        Send without waiting; the reply to an older key frame is forgotten.

        ``timeout`` seconds of silence are a failure; None: the link's own.
        """

    def receive(self, wait: bool) -> Reply | None:
        """
        Return the reply to the last key frame sent, once.

        Without ``wait`` return None while there is none. With ``wait`` block until the reply or
        the link's own time limit, which is a LinkFailure.
        """


class LocalLink:
    """A tutor that is asked by a plain call: the student learns while ``send`` runs."""

    def __init__(self, tutor: Teaching) -> None:
        self._tutor = tutor
        self._reply: Reply | None = None
        self.answered_at = math.nan

    def send(self, key_frame: KeyFrame, timeout: float | None = None) -> None:
        try:
            self._reply = self._tutor.submit(key_frame).result()
        except StudentNeeded as error:
            self._reply = LinkFailure(str(error), refusal=Refusal.NEEDS_STUDENT)
        except ShadowTutorError as error:
            self._reply = LinkFailure(f'{type(error).__name__}: {error}')
        self.answered_at = time.perf_counter()

    def receive(self, wait: bool) -> Reply | None:
        reply, self._reply = self._reply, None
        return reply
