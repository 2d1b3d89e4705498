# SPDX-License-Identifier: Apache-2.0
"""What an answer is, and how boxes lie to each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

MOST = 100  # boxes of a frame, the rows of an answer
SURE = 0.25  # the score from which on a box counts as said


class Boxes(NamedTuple):
    """N boxes x1, y1, x2, y2 in pixels, their scores 0-1 and class ids; on the host."""

    corners: NDArray[np.float32]
    scores: NDArray[np.float32]
    ids: NDArray[np.uint8]


def boxes_of(answer: NDArray[np.float32], least: float = SURE) -> Boxes:
    """Return what an answer, MOSTx6, says with scores of ``least`` or more, the surest first."""
    said = answer[(answer[:, 4] >= least) & (answer[:, 4] > 0)]
    return Boxes(said[:, :4], said[:, 4], said[:, 5].astype(np.uint8))


def answer_of(boxes: Boxes) -> NDArray[np.float32]:
    """Return the answer, MOSTx6, that says ``boxes``: the surest of too many."""
    order = np.argsort(-boxes.scores, kind='stable')[:MOST]
    answer = np.zeros((MOST, 6), np.float32)
    answer[:len(order)] = np.column_stack(
        (boxes.corners, boxes.scores, boxes.ids)).astype(np.float32)[order]
    return answer


def overlaps(one: Tensor, other: Tensor) -> Tensor:
    """Return the NxM intersections over unions of Nx4 and Mx4 boxes x1, y1, x2, y2."""
    upper = torch.maximum(one[:, None, :2], other[None, :, :2])
    lower = torch.minimum(one[:, None, 2:], other[None, :, 2:])
    both = (lower - upper).clamp(min=0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1) for boxes in (one, other)]
    return both / (areas[0][:, None] + areas[1][None, :] - both).clamp(min=1e-9)
