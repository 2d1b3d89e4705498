# SPDX-License-Identifier: Apache-2.0
"""A key frame that a tutor has taken, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum
import math
import traceback

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Mask
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


class Phase(Enum):
    """What a tutor does with a key frame whose turn it is."""

    LABELLING = 'labelling'
    TRAINING = 'training'


@dataclass(frozen=True)
class Progress:
    """One step of the tutor's work; metric (0-1) and loss are NaN while unknown."""

    phase: Phase
    step: int = 0
    metric: float = math.nan
    loss: float = math.nan


OnProgress = Callable[[Progress], None]

# Of a lesson: the update, the HxWx3 BGR frame, the teacher's and the student's HxW class ids.
OnLesson = Callable[[StudentUpdate, Frame, Mask, Mask], None]


@dataclass(eq=False)
class Job:
    """
    A key frame with what was made of it so far.

    ``arrived`` is in seconds of ``time.monotonic()``; ``teacher_time`` are seconds of decoding
    and labelling, ``labelling_share`` those of its part in a batch. ``taught``: it has an update.
    """

    key_frame: KeyFrame
    on_progress: OnProgress
    on_lesson: OnLesson | None
    arrived: float
    future: Future[StudentUpdate] = field(default_factory=Future)
    frame: Frame | None = None
    labelling: Labelling | None = None
    teacher_time: float = 0.0
    labelling_share: float = 0.0
    taught: bool = False

    def fail(self, error: BaseException) -> None:
        """Let it end by an error, which is the asker's, whatever it is."""
        # What it was raised in would keep the frame and the device's memory.
        traceback.clear_frames(error.__traceback__)
        self.forget()
        self.future.set_exception(error)

    def forget(self) -> None:
        """Keep frame and label no longer, though somebody may hold the job."""
        self.frame = self.labelling = None
