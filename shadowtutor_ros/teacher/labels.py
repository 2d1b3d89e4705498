# SPDX-License-Identifier: Apache-2.0
"""Given label maps as a teacher: for labelled videos, and for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import ClassSet, largest_id, UNLABELLED
from shadowtutor_ros.file_names import visible_files
from shadowtutor_ros.picture.header import BadHeader
from shadowtutor_ros.picture.label_map import decode_label_png
from shadowtutor_ros.teacher.label_arrays import LabelMap, MAX_PIXELS, open_hdf5, open_npz
from shadowtutor_ros.teacher.lvs import LvsTeacher
from shadowtutor_ros.teacher.objects import ObjectsFile
from shadowtutor_ros.teacher.protocol import (
    Labelling,
    Teacher,
    TeacherError,
    TeacherOptions,
)


def given_labels(options: TeacherOptions) -> Teacher:
    """Return the teacher ``labels``: LVS's detections for an ``.npy``, else label maps."""
    path = options.needed_weights
    if path.suffix == '.npy':
        return LvsTeacher(path, options.classes, options.fps, options.score_threshold)
    return LabelsTeacher(path, options.classes, options.fps)


class LabelsTeacher:
    """
    Label maps of a video, found by the frame's stamp: map number round(stamp * fps).

    ``path`` is a folder of PNGs (one channel or palette, in the natural order of their names), an
    ``.npz`` or an ``.h5``/``.hdf5`` with an array ``labels`` NxHxW; values are ids of ``classes``,
    or UNLABELLED. Boxes are those of the folder's ``objects.jsonl`` where it has them, else drawn
    around connected regions.
    """

    name = 'labels'

    def __init__(self, path: Path, classes: ClassSet, fps: float) -> None:
        self.version = str(path)
        self._path = path
        self._classes = classes
        self._fps = fps
        self._count, self._read = _open(path)
        self._objects = ObjectsFile(path)

    def label(self, frame: NDArray[np.uint8], stamp: float = 0.0) -> Labelling:
        """
        Return the map of the frame at ``stamp`` seconds.

        Raise TeacherError when there is none, or it has another size or unknown ids.
        """
        index = round(stamp * self._fps)
        if not 0 <= index < self._count:
            raise TeacherError(f'{self._path}: {self._count} label maps at {self._fps:g} per '
                               f'second, none for the frame at {stamp:g} s')
        labelling = self.read(index)
        if labelling.class_ids.shape != frame.shape[:2]:
            raise TeacherError(f"{self._path}: label map {index}: expected the frame's size "
                               f'{frame.shape[:2]}, got {labelling.class_ids.shape}')
        return labelling

    def read(self, index: int) -> Labelling:
        """Return map number ``index``; raise TeacherError when it has unknown ids."""
        class_ids = self._read(index)
        largest = largest_id(class_ids)
        if not 0 <= largest <= self._classes.background:
            raise TeacherError(
                f'{self._path}: label map {index}: expected class ids 0 to '
                f'{self._classes.background}, got {largest if largest >= 0 else "none"} '
                f'({UNLABELLED} is no label)')
        if (known := self._objects.boxes(index)) is not None:
            return Labelling(class_ids, known, self._objects.scores(index),
                             self._objects.box_ids(index))
        boxes, box_ids = _objects_in(class_ids, self._classes.background)
        return Labelling(class_ids, boxes, np.ones(len(boxes), np.float32), box_ids)


def _open(path: Path) -> tuple[int, Callable[[int], LabelMap]]:
    if path.is_dir():
        files = visible_files(path, ('.png',))
        if not files:
            raise TeacherError(f'{path}: expected PNG label maps, the folder has none')
        return len(files), lambda index: read_label_map(files[index])
    if not path.is_file():
        raise TeacherError(f'{path}: expected a folder, .npz or .h5 of label maps: not there')
    if path.suffix == '.npz':
        return open_npz(path)
    if path.suffix in ('.h5', '.hdf5'):
        return open_hdf5(path)
    raise TeacherError(f'{path}: expected a folder, .npz or .h5, got {path.suffix!r}')


def read_label_map(path: Path) -> LabelMap:
    """Return the HxW ids of a PNG; raise TeacherError for a damaged or another file."""
    try:
        return decode_label_png(path.read_bytes(), MAX_PIXELS)
    except (BadHeader, OSError) as error:
        raise TeacherError(f'{path}: {error}') from error


def _objects_in(
    class_ids: LabelMap, background: int,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return boxes x1, y1, x2, y2 around connected regions of object classes, and the classes."""
    boxes, box_ids = [], []
    for class_id in np.unique(class_ids):
        if class_id not in (background, UNLABELLED):
            region = (class_ids == class_id).astype(np.uint8)
            _, _, stats, _ = cv2.connectedComponentsWithStats(region)
            boxes += [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist()]
            box_ids += [class_id] * (len(stats) - 1)
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(box_ids, np.uint8)
