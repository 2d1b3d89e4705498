# SPDX-License-Identifier: Apache-2.0
"""Which of a network's candidates are objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.teacher.yolo.modules import Detections

_IOU = 0.45  # of two boxes of a class that are of one object
_MOST = 1024  # candidates of a picture, the surest; each is compared with each


@dataclass(frozen=True)
class Objects:
    """
    The N objects in one picture, the surest first.

    ``ids`` are COCO's 0-79, ``scores`` 0-1, ``boxes`` Nx4 x1, y1, x2, y2 in the picture's pixels,
    all on the host; ``logits`` Nxhxw of their masks, a quarter of the picture's size, on the
    device.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    boxes: NDArray[np.float32]
    logits: Tensor


def select(found: Detections, threshold: float) -> list[Objects]:
    """
    Return the objects of each of the pictures: non-maximum suppression within each class.

    A candidate with a score of ``threshold`` or more is an object unless its box overlaps that
    of a surer object of its class. The host waits for the device some times, however many
    pictures there are.
    """
    scores, classes = found.scores.max(2)
    most = min(int((scores >= threshold).sum(1).max()), _MOST)
    scores, order = scores.topk(most, 1)
    classes = classes.gather(1, order)
    boxes = _corners(found.boxes.gather(1, order[..., None].expand(-1, -1, 4)))
    kept = _suppress(boxes, classes, scores >= threshold)
    picture, place = kept.nonzero(as_tuple=True)
    at = picture, place
    here: NDArray[np.float32] = torch.cat(
        (picture[:, None], classes[at][:, None], scores[at][:, None], boxes[at]), 1).cpu().numpy()
    coefficients = found.coefficients[picture, order[at]]
    ends = np.searchsorted(here[:, 0], np.arange(len(scores) + 1))
    return [
        Objects(here[a:b, 1].astype(np.int64), here[a:b, 2], here[a:b, 3:],
                torch.einsum('nc,chw->nhw', coefficients[a:b], prototypes))
        for a, b, prototypes in zip(ends, ends[1:], found.prototypes)]


def _corners(boxes: Tensor) -> Tensor:
    """Return x1, y1, x2, y2 for the centres, widths and heights in the last dimension."""
    centres, halves = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((centres - halves, centres + halves), -1)


def _suppress(boxes: Tensor, classes: Tensor, wanted: Tensor) -> Tensor:
    """
    Return which of BxN ``wanted`` candidates, the surest first, no surer one suppresses.

    Whether the first is kept is known, then whether the second is, and so on: each round of the
    loop settles at least one more, so it ends at the one answer that agrees with itself.
    """
    rivals = (_overlaps(boxes) > _IOU) & (classes[:, :, None] == classes[:, None, :])
    rivals = rivals.triu(1)  # BxNxN: the first is surer than the second
    kept = wanted
    while True:
        now = wanted & ~(rivals & kept[:, :, None]).any(1)
        if torch.equal(now, kept):
            return kept
        kept = now


def _overlaps(boxes: Tensor) -> Tensor:
    """Return BxNxN intersections over unions of BxNx4 boxes."""
    upper = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    lower = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    both = (lower - upper).clamp_(min=0).prod(-1)
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return both / (areas[:, :, None] + areas[:, None, :] - both).clamp_(min=1e-9)
