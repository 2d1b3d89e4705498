# SPDX-License-Identifier: Apache-2.0
"""What a first student is trained on: labelled pictures of clips, labelled once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import LabelCache, with_progress
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling, Teacher
from shadowtutor_ros.video import VideoError

_QUALITY = 95  # of the JPEGs that are kept: thousands of raw frames would not fit the memory


class FootageError(ShadowTutorError):
    """There is not what training needs: clips to train on, and others to validate with."""


class Sample(Protocol):
    """A picture and its labels, read when they are wanted."""

    def read(self) -> tuple[Frame, Labelling]:
        """Return the BGR uint8 HxWx3 picture and its labelling."""


@dataclass(frozen=True)
class Footage:
    """The samples of one clip, or of one set of pictures: held out whole or not at all."""

    name: str
    samples: Sequence[Sample]


@dataclass(frozen=True)
class LabelledFrame:
    """A frame of a clip, kept as a JPEG; ``labels`` have what belongs to its ``stamp``."""

    jpeg: NDArray[np.uint8]
    labels: LabelsTeacher
    stamp: float

    def read(self) -> tuple[Frame, Labelling]:
        """Return the frame and its labelling; a Sample."""
        frame = np.asarray(cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR), np.uint8)
        return frame, self.labels.label(frame, self.stamp)


def label_footage(clip: Clip, teacher: Teacher, classes: ClassSet) -> Footage:
    """
    Have all frames of a clip labelled, which may differ in size, and keep them.

    Labels are cached as those of an evaluation are; given ones are checked. Raise VideoError for
    a clip without frames, TeacherError for a bad label.
    """
    given = teacher if isinstance(teacher, LabelsTeacher) else None
    cache = LabelCache.of(clip, teacher, classes)
    jpegs = []
    for index, frame in enumerate(with_progress(clip, teacher)):
        if given is not None:
            given.label(frame, clip.stamp(index) * 1e-9)
        else:
            cache.label(index, frame, teacher, clip.stamp(index) * 1e-9)
        jpegs.append(np.asarray(
            cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1], np.uint8))
    if not jpegs:
        raise VideoError(f'{clip.path}: the video has no frames')
    labels = given or LabelsTeacher(cache.folder, classes, clip.fps)
    return Footage(clip.name, [LabelledFrame(jpeg, labels, clip.stamp(index) * 1e-9)
                               for index, jpeg in enumerate(jpegs)])


def hold_out(
    footage: Sequence[Footage], names: Sequence[str],
) -> tuple[list[Footage], list[Footage]]:
    """
    Return what is trained on, and what is held out: that of ``names``, or every fifth.

    Raise FootageError for two clips of one name, a name that none has, or when either part would
    be empty.
    """
    known = [each.name for each in footage]
    if twice := {name for name in known if known.count(name) > 1}:
        raise FootageError(f'expected clips of different names, got twice: {sorted(twice)}')
    if unknown := set(names) - set(known):
        raise FootageError(f'held out: expected names among {known}, got {sorted(unknown)}')
    chosen = set(names) or set(known[::-5])
    trained = [each for each in footage if each.name not in chosen]
    held_out = [each for each in footage if each.name in chosen]
    if not trained or not held_out:
        raise FootageError(f'expected clips to train on and others to hold out, got {known}, of '
                           f'which {sorted(chosen)} are held out')
    return trained, held_out
