# SPDX-License-Identifier: Apache-2.0
"""Where a tutor's frames become labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.protocol import Labelling, Teacher


@dataclass(frozen=True)
class StampedFrame:
    """A BGR uint8 HxWx3 frame and its media time in seconds."""

    frame: Frame
    stamp: float


class Labeller:
    """Asks a teacher; the frames of one call may be of any streams and sizes."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def label(self, frames: Sequence[StampedFrame]) -> list[Labelling | Exception]:
        """Return for every frame its labelling, or what the teacher raised about it."""
        return [self._label(frame) for frame in frames]

    def _label(self, stamped: StampedFrame) -> Labelling | Exception:
        try:
            return self._teacher.label(stamped.frame, stamped.stamp)
        except Exception as error:  # of one frame, which must not cost the others theirs
            return error
