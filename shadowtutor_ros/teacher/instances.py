# SPDX-License-Identifier: Apache-2.0
"""From a COCO detector's instances to one class-id map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.protocol import Labelling


def paint(
    mask_of: Callable[[int], NDArray[np.bool_]],
    coco_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    boxes: NDArray[np.float32],
    classes: ClassSet,
    size: tuple[int, int],
) -> Labelling:
    """
    Return the labelling of N instances in a frame of ``size``, the surest on top.

    ``mask_of(index)`` returns the HxW mask of one instance; each is asked for at most once and
    none is kept, so that a frame costs one mask however many instances it has. ``coco_ids`` is
    N ids 0-79, ``scores`` N, ``boxes`` Nx4 in pixels. Instances whose class is background in
    ``classes`` are left out.
    """
    ids = classes.coco_lookup()[coco_ids]
    kept = np.flatnonzero(ids != classes.background)
    order = kept[np.argsort(scores[kept], kind='stable')]
    class_ids = np.full(size, classes.background, np.uint8)
    for index in order:
        class_ids[mask_of(index)] = ids[index]
    return Labelling(class_ids, boxes[order].astype(np.float32).reshape(-1, 4),
                     scores[order].astype(np.float32))
