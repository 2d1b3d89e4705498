# SPDX-License-Identifier: Apache-2.0
"""A teacher's labels of a whole video, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import hashlib
import logging
import math
from pathlib import Path
import statistics
import time

import cv2
import numpy as np
from tqdm import tqdm

from shadowtutor_ros.assets import cache_folder
from shadowtutor_ros.classes import ClassSet, largest_id, UNLABELLED
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.labels import LabelsTeacher, read_label_map
from shadowtutor_ros.teacher.objects import ObjectsFile
from shadowtutor_ros.teacher.protocol import Labelling, Teacher, TeacherError
from shadowtutor_ros.video import VideoError
from shadowtutor_ros.whole_file import make_folder, replace_file

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledClip:
    """
    A clip of ``count`` frames and the labels that it is judged by.

    ``labels`` gives them again; ``teacher_seconds`` is the median time of one frame at the
    teacher, NaN for given labels; ``size`` is (H, W); ``key`` identifies clip and labels.
    """

    clip: Clip
    count: int
    size: tuple[int, int]
    labels: LabelsTeacher
    teacher: str
    teacher_seconds: float
    key: str

    def label(self, index: int) -> Labelling:
        """Return the labels of frame ``index``, checked when the clip was labelled."""
        return self.labels.read(index)

    def present(self) -> frozenset[int]:
        """Return the class ids that the labels have somewhere; it reads them all."""
        return frozenset(int(class_id) for index in range(self.count)
                         for class_id in np.unique(self.label(index).class_ids)
                         if class_id != UNLABELLED)


def label_clip(clip: Clip, teacher: Teacher, classes: ClassSet) -> LabelledClip:
    """
    Label every frame of ``clip``, or check the labels if ``teacher`` has them on disk.

    A teacher's labels go to a cache folder named by the content of the video, the teacher with
    its version and the classes; what it holds already is not computed again, but what is damaged
    is. Raise VideoError for a video without frames or with frames of several sizes, TeacherError
    for a bad label, CannotWrite for a cache that cannot be filled.
    """
    key = _key(clip, teacher, classes)
    given = isinstance(teacher, LabelsTeacher)
    cache = LabelCache(_folder(key), classes)
    size: tuple[int, int] | None = None
    count = 0
    for index, frame in enumerate(with_progress(clip, teacher)):
        count += 1
        size = size or (frame.shape[0], frame.shape[1])
        if frame.shape[:2] != size:
            raise VideoError(f'{clip.path}: frame {index}: expected the size of the first, '
                             f'{size}, got {frame.shape[:2]}')
        if given:
            key.update(teacher.label(frame, clip.stamp(index) * 1e-9).class_ids.tobytes())
        else:
            cache.label(index, frame, teacher, clip.stamp(index) * 1e-9)
    if size is None:
        raise VideoError(f'{clip.path}: the video has no frames')
    labels = (teacher if isinstance(teacher, LabelsTeacher)
              else LabelsTeacher(cache.folder, classes, clip.fps))
    return LabelledClip(clip, count, size, labels, teacher.name,
                        math.nan if given else cache.teacher_seconds(), key.hexdigest()[:24])


def with_progress(clip: Clip, teacher: Teacher) -> Iterator[Frame]:
    """Yield the frames of a clip that is labelled, and show how far it is and the time left."""
    yield from tqdm(clip, f'{clip.name}: labels of {teacher.name}', clip.expected, unit='frame',
                    disable=None)


def _key(clip: Clip, teacher: Teacher, classes: ClassSet) -> hashlib._Hash:
    return hashlib.sha256(
        f'{clip.digest()} {teacher.name} {teacher.version} {classes}'.encode())


def _folder(key: hashlib._Hash) -> Path:
    return cache_folder() / 'labels' / key.hexdigest()[:24]


class LabelCache:
    """A folder of label maps as LabelsTeacher reads it, filled frame by frame."""

    def __init__(self, folder: Path, classes: ClassSet) -> None:
        self.folder = folder
        self._background = classes.background
        self._objects = ObjectsFile(folder)

    @classmethod
    def of(cls, clip: Clip, teacher: Teacher, classes: ClassSet) -> LabelCache:
        """Return the cache of the three, empty or as far as it was filled before."""
        return cls(_folder(_key(clip, teacher, classes)), classes)

    def label(self, index: int, frame: Frame, teacher: Teacher, stamp: float) -> None:
        """
        Have frame ``index``, of ``stamp`` seconds, labelled, unless it is there already.

        A label map that is damaged, or none of this frame, is warned of and made again.
        """
        if not self._holds(index, (frame.shape[0], frame.shape[1])):
            started = time.perf_counter()
            labelling = teacher.label(frame, stamp)
            self.add(index, labelling, time.perf_counter() - started)

    def add(self, index: int, labelling: Labelling, seconds: float) -> None:
        """Keep the labels of frame ``index``, which took the teacher ``seconds``."""
        make_folder(self.folder)
        self._objects.append(index, labelling, seconds)
        replace_file(self._picture(index), cv2.imencode('.png', labelling.class_ids)[1].tobytes())

    def teacher_seconds(self) -> float:
        """Return the median time of one frame at the teacher in seconds."""
        return statistics.median(self._objects.seconds)

    def _holds(self, index: int, size: tuple[int, int]) -> bool:
        """Say whether frame ``index`` of ``size`` (H, W) is labelled, and well."""
        path = self._picture(index)
        if not path.is_file():
            return False
        if self._objects.boxes(index) is None:
            _LOG.warning('%s is made again: its objects are missing', path)
            return False
        try:
            class_ids = read_label_map(path)
        except (TeacherError, OSError) as error:
            _LOG.warning('%s is made again: %s', path, error)
            return False
        found = largest_id(class_ids)
        if class_ids.shape != size or found > self._background:
            _LOG.warning('%s is made again: expected %s of ids 0 to %d, got %s with %d',
                         path, size, self._background, class_ids.shape, found)
            return False
        return True

    def _picture(self, index: int) -> Path:
        return self.folder / f'{index:06}.png'
