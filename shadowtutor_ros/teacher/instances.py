# SPDX-License-Identifier: Apache-2.0
"""From a COCO detector's instances to one class-id map."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.protocol import Labelling


class Patch(NamedTuple):
    """The mask of an instance: hxw bool ``inside``, whose first pixel is at ``top``, ``left``."""

    top: int
    left: int
    inside: Tensor


def paint(
    mask_of: Callable[[int], Patch],
    coco_ids: NDArray[np.int64],
    scores: NDArray[np.float32],
    boxes: NDArray[np.float32],
    classes: ClassSet,
    size: tuple[int, int],
    device: str | torch.device = 'cpu',
) -> Labelling:
    """
    Return the labelling, on ``device``, of N instances in a frame of ``size``, surest on top.

    ``mask_of(index)`` returns the mask of one instance there; each is asked for at most once and
    none is kept, so that a frame costs one mask however many instances it has. ``coco_ids`` is
    N ids 0-79, ``scores`` N, ``boxes`` Nx4 in pixels. Instances whose class is background in
    ``classes`` are left out.
    """
    ids = classes.coco_lookup()[coco_ids]
    kept = np.flatnonzero(ids != classes.background)
    order = kept[np.argsort(scores[kept], kind='stable')]
    label_map = torch.full(size, classes.background, dtype=torch.uint8, device=device)
    for index in order.tolist():
        top, left, inside = mask_of(index)
        part = label_map[top:top + inside.shape[0], left:left + inside.shape[1]]
        part.masked_fill_(inside, int(ids[index]))
    if label_map.is_cuda:
        torch.cuda.current_stream(label_map.device).synchronize()  # readers have other streams
    return Labelling(label_map, boxes[order].astype(np.float32).reshape(-1, 4),
                     scores[order].astype(np.float32), ids[order].astype(np.uint8))
