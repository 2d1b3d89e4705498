# SPDX-License-Identifier: Apache-2.0
"""How good boxes are: what they cover of the boxes that they should be."""

from __future__ import annotations

import torch
from torch import Tensor

from shadowtutor_ros.tasks.detection.boxes import overlaps, SURE

_SAME = 0.5  # overlap of two boxes that may be of one object
# As good as the same. A teacher's boxes of one object differ by as much from one frame to the
# next, wherever the object went: a tenth of YOLOv7's on vtest.avi by more.
_GOOD = 0.8
_ROUNDS = 4  # of choosing pairs; in each the pair that overlaps most is chosen at least


def class_quality(answer: Tensor, boxes: Tensor, ids: Tensor, classes: int) -> Tensor:
    """
    Return how good the boxes of each of ``classes`` are, 0-1, NaN where there are none.

    Boxes of one class that overlap by more than half make pairs, those that overlap most first.
    A pair counts 1 from an overlap of 0.8 on, and less in proportion below. The score is what all
    pairs count over the mean number of boxes of the two sides: the F1 score of finding objects,
    times how well those found are enclosed. ``answer`` is Nx6, what is below SURE is not said;
    ``boxes`` Mx4, ``ids`` M int64, -1 for no box.
    """
    said = answer[:, 4] >= SURE
    own = torch.where(said, answer[:, 5].long(), -2)
    quality = overlaps(answer[:, :4].double(), boxes.double())
    quality = torch.where((own[:, None] == ids[None]) & (quality > _SAME), quality, 0.0)
    found = torch.zeros(classes, dtype=torch.float64, device=answer.device)
    for _ in range(_ROUNDS):
        best, which = quality.max(1)
        pairs = (best > 0) & (quality.max(0).indices[which] == torch.arange(
            len(answer), device=answer.device))
        found.index_add_(0, own.clamp(min=0), torch.where(
            pairs, (best / _GOOD).clamp(max=1), 0.0))
        theirs = torch.zeros_like(ids).index_add_(0, which, pairs.long()) > 0
        quality = quality.masked_fill(pairs[:, None] | theirs[None], 0.0)
    number = torch.arange(classes, device=answer.device)[:, None]
    count = (own[None] == number).sum(1) + (ids[None] == number).sum(1)
    return 2 * found / count
