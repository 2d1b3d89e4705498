# SPDX-License-Identifier: Apache-2.0
"""What a labelling asks of each cell of the output (TTFNet, AAAI 2020)."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.tasks.detection.boxes import Boxes, MOST
from shadowtutor_ros.tasks.protocol import BadLabelling
from shadowtutor_ros.teacher.protocol import Labelling

STRIDE = 8  # pixels from one cell to the next
_SPREAD = 0.18  # of a box's side: the standard deviation with which its cells' share fades
_HEAT = 4  # the power of the share that is heat: it fades twice as fast
_FAINT = 0.05  # what is below is no part of an object
_SMALLEST = 2.0  # pixels; what is left of an object that a picture's edge cuts


@dataclass(frozen=True)
class BoxTarget:
    """
    What the h x w cells of a frame shall say; all on one device, of sizes that the frame gives.

    ``heat``, Cxhxw without background, is 1 at an object's centre and fades towards its edge;
    ``corners``, 4xhxw, are the pixels x1, y1, x2, y2 of the object that a cell belongs to most,
    ``share``, hxw, is how much it does. ``known``, hxw, is 0 where nothing is asked. ``boxes``,
    MOSTx4, and ``ids``, MOST int64, are the objects themselves, ids of those that are none -1.
    """

    heat: Tensor
    corners: Tensor
    share: Tensor
    known: Tensor
    boxes: Tensor
    ids: Tensor

    def copy_(self, other: BoxTarget) -> None:
        """Become equal to the target of another frame of the same size."""
        for field in fields(self):
            getattr(self, field.name).copy_(getattr(other, field.name))


def cells_of(size: tuple[int, int]) -> tuple[int, int]:
    """Return how many rows and columns of cells a frame of ``size`` (H, W) has."""
    return -(-size[0] // STRIDE), -(-size[1] // STRIDE)


def objects_of(labelling: Labelling, classes: int) -> Boxes:
    """
    Return the boxes of a labelling, the surest first, MOST at most.

    Where it does not say of what class they are, it is the object's class that has most pixels
    in a box; one without any is left out, as one that is hardly to be seen. Raise BadLabelling
    for a class that is no object's and for corners that are not finite.
    """
    boxes, scores = labelling.boxes, labelling.scores
    if not np.isfinite(boxes).all():
        raise BadLabelling('a box has corners that are no numbers')
    ids = (_ids_in(labelling.class_ids, boxes, classes - 1) if labelling.box_ids is None
           else labelling.box_ids.astype(np.int64))
    if ids.shape != boxes.shape[:1] or ids.max(initial=-1) >= classes - 1:
        raise BadLabelling(f'expected {len(boxes)} boxes of class ids 0 to {classes - 2}, '
                           f'got {len(ids)} up to {ids.max(initial=-1)}')
    if len(scores) != len(boxes):  # a teacher need not give any
        scores = np.ones(len(boxes), np.float32)
    seen = (ids >= 0) & (boxes[:, 2:] - boxes[:, :2] >= _SMALLEST).all(1)
    order = np.argsort(-scores, kind='stable')
    order = order[seen[order]][:MOST]
    return Boxes(boxes[order], scores[order], ids[order].astype(np.uint8))


def target_of(
    labelling: Labelling, size: tuple[int, int], classes: int, device: str | torch.device,
) -> BoxTarget:
    """Return the target on ``device``; raise BadLabelling as ``objects_of``."""
    boxes = objects_of(labelling, classes)
    rows, columns = cells_of(size)
    heat = np.zeros((classes - 1, rows, columns), np.float32)
    share = np.zeros((rows, columns), np.float32)
    corners = np.zeros((4, rows, columns), np.float32)
    known = _known(labelling, boxes, size, classes)
    y, x = ((np.arange(count, dtype=np.float32) + 0.5) * STRIDE for count in (rows, columns))
    # The largest first, so that a small one in front of it has its cells.
    areas = (boxes.corners[:, 2:] - boxes.corners[:, :2]).prod(1)
    for index in np.argsort(-areas, kind='stable'):
        x1, y1, x2, y2 = box = boxes.corners[index]
        blob = np.outer(_fading(y, y1, y2, size[0]), _fading(x, x1, x2, size[1]))
        blob[blob < _FAINT] = 0
        of_class = heat[boxes.ids[index]]
        np.maximum(of_class, blob ** _HEAT, out=of_class)
        most = (blob > 0) & (blob >= share)
        share[most] = blob[most]
        corners[:, most] = box[:, None]
    padded, ids = np.zeros((MOST, 4), np.float32), np.full(MOST, -1, np.int64)
    padded[:len(boxes.ids)], ids[:len(boxes.ids)] = boxes.corners, boxes.ids
    return BoxTarget(*(torch.from_numpy(part).to(device)
                       for part in (heat, corners, share, known, padded, ids)))


def _fading(cells: NDArray[np.float32], low: float, high: float, end: int) -> NDArray[np.float32]:
    """Return 1 at the cell of the middle of ``low`` to ``high``, less to either side."""
    middle = min(max((low + high) / 2, 0.0), end - 1.0)
    middle = (middle // STRIDE + 0.5) * STRIDE
    spread = max((high - low) * _SPREAD, STRIDE / 3)
    fading: NDArray[np.float32] = np.exp(-0.5 * ((cells - middle) / spread) ** 2)
    return fading


def _known(
    labelling: Labelling, boxes: Boxes, size: tuple[int, int], classes: int,
) -> NDArray[np.float32]:
    """Return 0 for cells of pixels that are no background, yet in no box; 1 for all others."""
    rows, columns = cells_of(size)
    y, x = (np.minimum(np.arange(count) * STRIDE + STRIDE // 2, end - 1)
            for count, end in ((rows, size[0]), (columns, size[1])))
    unknown: NDArray[np.bool_] = labelling.class_ids[np.ix_(y, x)] != classes - 1
    for x1, y1, x2, y2 in boxes.corners:
        unknown[np.ix_((y >= y1 - STRIDE) & (y < y2 + STRIDE),
                       (x >= x1 - STRIDE) & (x < x2 + STRIDE))] = False
    known: NDArray[np.float32] = (~unknown).astype(np.float32)
    return known


def _ids_in(
    class_ids: NDArray[np.uint8], boxes: NDArray[np.float32], background: int,
) -> NDArray[np.int64]:
    """Return the object class that has most pixels in each box, -1 where there is none."""
    ids = np.full(len(boxes), -1, np.int64)
    for index, (x1, y1, x2, y2) in enumerate(boxes.clip(0, 1 << 20).round().astype(int)):
        counts = np.bincount(class_ids[y1:y2, x1:x2].ravel(), minlength=background)[:background]
        if counts.any():
            ids[index] = counts.argmax()
    return ids
