# SPDX-License-Identifier: Apache-2.0
"""From an output to boxes, the surest first: work for a device that never asks the host."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.tasks.detection.boxes import MOST, overlaps
from shadowtutor_ros.tasks.detection.target import cells_of, STRIDE

_LEAST = 0.02  # what is less sure is not said
_ALIKE = 0.6  # overlap of two boxes that are of one object
_FARTHEST = 7.0  # of a logarithm
_ROUNDS = 4  # of saying who covers whom: a box that is covered covers nobody


class BadOutput(ShadowTutorError):
    """A network gives something that this task cannot read: it is for another one."""


def corners_of(sides: Tensor) -> Tensor:
    """
    Return 4xhxw x1, y1, x2, y2 in pixels of what the cells say.

    ``sides`` are logarithms of how far the sides left, above, right and below are from a cell's
    middle, in cells.
    """
    rows, columns = sides.shape[-2:]
    y = (torch.arange(rows, device=sides.device)[:, None] + 0.5) * STRIDE
    x = (torch.arange(columns, device=sides.device)[None] + 0.5) * STRIDE
    left, above, right, below = (STRIDE * sides.clamp(max=_FARTHEST).exp()).unbind(0)
    return torch.stack((x - left, y - above, x + right, y + below))


def answer_from_output(output: Tensor, size: tuple[int, int]) -> Tensor:
    """
    Return MOSTx6 float32 of a 1x(C+4)xhxw output for a frame of ``size`` (H, W).

    A row is x1, y1, x2, y2 in pixels, score and class id; the surest box is first, of equally
    sure ones that of the lower class, higher up, farther to the left. Rows that say nothing have
    zeros. Raise BadOutput for what no network for this task gives.
    """
    rows, columns = cells_of(size)
    if output.shape[0] != 1 or output.shape[1] < 5 or output.shape[2:] != (rows, columns):
        raise BadOutput(f'detection of {size}: expected an output of 1 x 5 or more x {rows} x '
                        f'{columns}, got {tuple(output.shape)}')
    output = output.float()
    scores = output[0, :-4].sigmoid()
    classes = scores.shape[0]
    peaks = torch.where(scores == F.max_pool2d(scores[None], 3, 1, 1)[0], scores, 0.0).flatten()
    if peaks.numel() < MOST:
        peaks = F.pad(peaks, (0, MOST - peaks.numel()))
    places = peaks.topk(MOST).indices.sort().values
    scores, order = peaks[places].sort(descending=True, stable=True)
    places = places[order].clamp(max=classes * rows * columns - 1)
    ids = places // (rows * columns)
    corners = corners_of(output[0, -4:]).flatten(1)[:, places % (rows * columns)].T
    height, width = size
    limits = torch.stack([torch.full_like(scores, end) for end in (width, height) * 2], 1)
    corners = torch.minimum(corners.clamp(min=0), limits)
    said = (scores >= _LEAST) & _no_surer_one(corners, ids, scores)
    scores = torch.where(said, scores, 0.0)
    # What is not said goes to the end, all else stays in order.
    scores, order = scores.sort(descending=True, stable=True)
    answer = torch.cat((corners[order], scores[:, None], ids[order, None].float()), 1)
    return torch.where(scores[:, None] > 0, answer, 0.0)


def _no_surer_one(corners: Tensor, ids: Tensor, scores: Tensor) -> Tensor:
    """Return which of the boxes, the surest first, no surer one of its class covers."""
    rivals = ((overlaps(corners, corners) > _ALIKE) & (ids[:, None] == ids[None])).triu(1)
    kept = torch.ones_like(ids, dtype=torch.bool)
    for _ in range(_ROUNDS):
        kept = ~(rivals & kept[:, None]).any(0)
    return kept
