# SPDX-License-Identifier: Apache-2.0
"""What a stream remembers of its key frames, so that a lesson is about more than the newest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import largest_id
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.snapshot import array_from, BadSnapshot, number_from, Snapshot
from shadowtutor_ros.teacher.protocol import Labelling

_QUALITY = 95  # of the JPEG in which a frame is kept in a snapshot


@dataclass(frozen=True, eq=False)
class Example:
    """A BGR uint8 HxWx3 frame and what the teacher says of it."""

    frame: Frame
    labelling: Labelling

    @property
    def nbytes(self) -> int:
        """Bytes in the host's memory."""
        known = self.labelling
        return (self.frame.nbytes + known.class_ids.nbytes + known.boxes.nbytes
                + known.scores.nbytes + (0 if known.box_ids is None else known.box_ids.nbytes))

    @cached_property
    def packed(self) -> Snapshot:
        """The example in few bytes, the frame not quite as it was: for the disk."""
        return {'frame': cv2.imencode('.jpg', self.frame, (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))[1],
                'labels': cv2.imencode('.png', self.labelling.class_ids)[1],
                'boxes': self.labelling.boxes, 'scores': self.labelling.scores,
                **({} if self.labelling.box_ids is None
                   else {'box_ids': self.labelling.box_ids})}

    @classmethod
    def unpacked(cls, snapshot: Snapshot, prefix: str, classes: int) -> Example:
        """Return the example that was ``packed``; raise BadSnapshot."""
        frame, labels = (_decoded(snapshot, prefix + name, flags) for name, flags in (
            ('frame', cv2.IMREAD_COLOR), ('labels', cv2.IMREAD_UNCHANGED)))
        if labels.shape != frame.shape[:2] or largest_id(labels) >= classes:
            raise BadSnapshot(f'{prefix}labels: expected {frame.shape[:2]} and ids below '
                              f'{classes}, got {labels.shape} up to {labels.max()}')
        boxes, scores = (array_from(snapshot, prefix + name, np.float32)
                         for name in ('boxes', 'scores'))
        if boxes.shape != (len(boxes), 4) or scores.ndim != 1 or not np.isfinite(boxes).all():
            raise BadSnapshot(f'{prefix}boxes: expected finite Nx4 and scores N, '
                              f'got {boxes.shape} and {scores.shape}')
        box_ids = (array_from(snapshot, prefix + 'box_ids', np.uint8).copy()
                   if prefix + 'box_ids' in snapshot else None)
        if box_ids is not None and (box_ids.shape != (len(boxes),)
                                    or (box_ids >= classes).any()):
            raise BadSnapshot(f'{prefix}box_ids: expected {len(boxes)} ids below {classes}, '
                              f'got {box_ids.shape} up to {box_ids.max(initial=0)}')
        return cls(frame, Labelling(labels, boxes.copy(), scores.copy(), box_ids))


class KeyFrameMemory:
    """The newest examples, of ``max_bytes`` together at most, in the host's memory."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._examples: list[Example] = []

    def __len__(self) -> int:
        return len(self._examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self._examples)

    @property
    def nbytes(self) -> int:
        """Bytes of all examples."""
        return sum(example.nbytes for example in self._examples)

    def add(self, example: Example, capacity: int) -> None:
        """Remember one more of ``capacity``, and forget the oldest that there is no room for."""
        known = example.labelling
        self._examples.append(Example(
            example.frame,
            Labelling(known.class_ids, known.boxes, known.scores, known.box_ids)))
        while len(self) > capacity or self.nbytes > self._max_bytes:
            del self._examples[0]

    def snapshot(self) -> Snapshot:
        """Return what is remembered in few bytes."""
        return {'memory': np.array(len(self)), **{
            f'memory/{index}/{name}': array for index, example in enumerate(self)
            for name, array in example.packed.items()}}

    def restore(self, snapshot: Snapshot, classes: int) -> None:
        """Remember what a snapshot has, for a student of ``classes``; raise BadSnapshot."""
        self._examples.clear()
        for index in range(number_from(snapshot, 'memory')):
            example = Example.unpacked(snapshot, f'memory/{index}/', classes)
            if self.nbytes + example.nbytes <= self._max_bytes:
                self._examples.append(example)


def _decoded(snapshot: Snapshot, name: str, flags: int) -> NDArray[np.uint8]:
    image = cv2.imdecode(array_from(snapshot, name, np.uint8), flags)
    if image is None or image.dtype != np.uint8:
        raise BadSnapshot(f'{name}: expected a picture, got none that can be read')
    return np.asarray(image, np.uint8)
