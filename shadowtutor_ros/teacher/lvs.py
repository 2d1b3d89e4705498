# SPDX-License-Identifier: Apache-2.0
"""The Mask R-CNN detections of the Long Video Streams (LVS) dataset as a teacher."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
import torch

from shadowtutor_ros.classes import ClassSet, COCO_NAMES
from shadowtutor_ros.teacher.array_pickle import Array, UntrustedFile
from shadowtutor_ros.teacher.instances import paint, Patch
from shadowtutor_ros.teacher.object_npy import read_object_npy
from shadowtutor_ros.teacher.protocol import Labelling, TeacherError

MASK_THRESHOLD = 0.5  # as the dataset's own labels
MAX_SIDE = 1024  # of a mask; the dataset's are 28x28


class LvsTeacher:
    """
    Detections of a video, found by the frame's stamp: frame number round(stamp * fps).

    ``path`` is an LVS file ``detectron_large_mask_rcnn_1_<chunk>.npy``, which belongs to
    ``<chunk>.mp4``: a pickled dict from frame number to (boxes, classes, scores, masks), where
    boxes is Nx4 y1, x1, y2, x2 as fractions of the frame, classes N COCO numbers 1-80, scores
    N 0-1, masks NxMxM 0-1 within their boxes. What is not an object of ``classes``, or below
    ``score_threshold``, is background; where objects overlap the surest wins.
    """

    name = 'labels'

    def __init__(
        self, path: Path, classes: ClassSet, fps: float, score_threshold: float = 0.5,
    ) -> None:
        """Raise TeacherError when the file is not there, is no such dict or wants to run code."""
        self._path = path
        self._classes = classes
        self._fps = fps
        self._score_threshold = score_threshold
        frames = read_object_npy(path)
        if not isinstance(frames, dict) or not all(isinstance(k, (int, float)) for k in frames):
            raise TeacherError(f'{path}: expected a dict with frame numbers as keys, '
                               f'got {type(frames).__name__}')
        self._frames = frames
        self.version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]

    def label(self, frame: NDArray[np.uint8], stamp: float = 0.0) -> Labelling:
        """Return what was detected at ``stamp`` seconds; raise TeacherError if it is nothing."""
        index = round(stamp * self._fps)
        if index not in self._frames:
            raise TeacherError(f'{self._path}: {len(self._frames)} labelled frames, none at '
                               f'{stamp:g} s, which is frame {index} at {self._fps:g} per second')
        boxes, coco, scores, masks = self._detections(index)
        kept = np.flatnonzero(scores >= self._score_threshold)
        height, width = frame.shape[:2]
        corners = (boxes[kept] * (height, width, height, width)).astype(np.int64)

        def mask_of(index: int) -> Patch:
            return _patch(masks[kept[index]], corners[index].tolist(), (height, width))

        return paint(mask_of, coco[kept] - 1, scores[kept],
                     corners[:, [1, 0, 3, 2]].astype(np.float32), self._classes, (height, width))

    def _detections(self, index: int) -> tuple[
            NDArray[np.float64], NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
        entry = self._frames[index]
        if not (isinstance(entry, tuple) and len(entry) == 4
                and all(isinstance(part, Array) for part in entry)):
            raise self._wrong(index, 'four arrays: boxes, classes, scores, masks',
                              type(entry).__name__)
        try:
            boxes, coco, scores, masks = (part.values() for part in entry)
        except UntrustedFile as error:
            raise UntrustedFile(f'{self._path}: frame {index}: {error}') from None
        count = scores.size
        if not count:
            boxes, coco = np.zeros((0, 4)), np.zeros(0)
            scores, masks = np.zeros(0), np.zeros((0, 1, 1))
        if (boxes.shape != (count, 4) or coco.shape != (count,) or scores.shape != (count,)
                or masks.shape[:1] != (count,) or masks.ndim != 3
                or not all(0 < side <= MAX_SIDE for side in masks.shape[1:])):
            raise self._wrong(index, 'boxes Nx4, classes N, scores N, masks NxMxM',
                              (boxes.shape, coco.shape, scores.shape, masks.shape))
        if count and not (coco.min() >= 1 and coco.max() <= len(COCO_NAMES)):
            raise self._wrong(index, f'COCO numbers 1 to {len(COCO_NAMES)}', coco)
        if not (np.abs(boxes) <= 2).all():  # NaN is not, either
            raise self._wrong(index, 'boxes in fractions of the frame', boxes)
        return (boxes.astype(np.float64), coco.astype(np.int64), scores.astype(np.float32),
                masks.astype(np.float32))

    def _wrong(self, index: int, expected: str, found: object) -> TeacherError:
        return TeacherError(f'{self._path}: frame {index}: expected {expected}, '
                            f'got {found}')


def _patch(
    mask: NDArray[np.float32], corners: list[int], size: tuple[int, int],
) -> Patch:
    """
    Return where the MxM ``mask`` is an object, in a frame of ``size``.

    It is stretched over its box, whose ``corners`` are y1, x1, y2, x2 in pixels.
    """
    y1, x1, y2, x2 = corners
    top, left, bottom, right = max(0, y1), max(0, x1), min(size[0], y2), min(size[1], x2)
    if bottom <= top or right <= left:
        return Patch(0, 0, torch.zeros(0, 0, dtype=torch.bool))
    stretched = cv2.resize(mask, (x2 - x1, y2 - y1))[top - y1:bottom - y1, left - x1:right - x1]
    return Patch(top, left, torch.from_numpy(stretched >= MASK_THRESHOLD))
