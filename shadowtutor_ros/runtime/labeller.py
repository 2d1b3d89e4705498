# SPDX-License-Identifier: Apache-2.0
"""Where a tutor's frames become labels."""

from __future__ import annotations

from collections.abc import Sequence
import logging

from shadowtutor_ros.model.device import is_broken
from shadowtutor_ros.teacher.protocol import (
    BatchTeacher,
    Labelling,
    StampedFrame,
    Teacher,
    TeacherError,
)


class Labeller:
    """Asks a teacher; the frames of one call may be of any streams and sizes."""

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def label(self, frames: Sequence[StampedFrame]) -> list[Labelling | Exception]:
        """
        Return for every frame its labelling, or what the teacher raised about it.

        A teacher that takes batches gets all of them at once. What it raises of a batch is one
        frame's fault, so it gets them one by one then. A device that is broken is asked no more.
        """
        if isinstance(self._teacher, BatchTeacher) and len(frames) > 1:
            try:
                return [*_label_together(self._teacher, frames)]
            except Exception as error:
                if is_broken(error):
                    return [error] * len(frames)
                logging.getLogger(__name__).warning(
                    'teacher %s: %d frames together failed, takes them one by one: %s',
                    self._teacher.name, len(frames), error)
        return self._label_one_by_one(frames)

    def _label_one_by_one(self, frames: Sequence[StampedFrame]) -> list[Labelling | Exception]:
        answers: list[Labelling | Exception] = []
        for stamped in frames:
            try:
                answers.append(_checked(self._teacher.label(stamped.frame, stamped.stamp)))
            except Exception as error:  # of one frame, which must not cost the others theirs
                if is_broken(error):
                    return answers + [error] * (len(frames) - len(answers))
                answers.append(error)
        return answers


def _label_together(
    teacher: BatchTeacher, frames: Sequence[StampedFrame],
) -> list[Labelling]:
    labellings = teacher.label_many(frames)
    if len(labellings) != len(frames):
        raise TeacherError(f'label_many: expected {len(frames)} labellings, one of each frame, '
                           f'got {len(labellings)}')
    return [_checked(labelling) for labelling in labellings]


def _checked(labelling: Labelling) -> Labelling:
    """Refuse what is none: a teacher may be anybody's code, and a robot waits for the answer."""
    if not isinstance(labelling, Labelling):
        raise TeacherError(f'expected a Labelling, got {type(labelling).__name__}')
    return labelling
