# SPDX-License-Identifier: Apache-2.0
"""How wrong an output is: where centres are, and how far their boxes reach."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from shadowtutor_ros.tasks.detection.decode import corners_of
from shadowtutor_ros.tasks.detection.target import BoxTarget

_OF_BOXES = 5.0  # beside centres


def detection_loss(output: Tensor, target: BoxTarget) -> Tensor:
    """Return the loss of a 1x(C+4)xhxw ``output`` as a scalar that has gradients."""
    output = output.float()
    logits, sides = output[0, :-4], output[0, -4:]
    return _of_centres(logits, target) + _OF_BOXES * _of_boxes(corners_of(sides), target)


def _of_centres(logits: Tensor, target: BoxTarget) -> Tensor:
    """Return the focal loss of CornerNet: near a centre being sure of one is less of a fault."""
    heat = target.heat
    scores = logits.sigmoid()
    centre = (heat == 1).float()
    there = centre * (1 - scores) ** 2 * F.logsigmoid(logits)
    elsewhere = (1 - heat) ** 4 * scores ** 2 * F.logsigmoid(-logits)
    objects = centre.sum().clamp(min=1)
    return -(((there + elsewhere) * target.known).sum() / objects)


def _of_boxes(corners: Tensor, target: BoxTarget) -> Tensor:
    """Return 1 - GIoU of the 4xhxw boxes of cells, weighted by how much of an object they are."""
    own, wanted = corners, target.corners
    upper, lower = torch.maximum(own[:2], wanted[:2]), torch.minimum(own[2:], wanted[2:])
    both = (lower - upper).clamp(min=0).prod(0)
    areas = (own[2:] - own[:2]).prod(0) + (wanted[2:] - wanted[:2]).prod(0)
    union = areas - both
    hull = (torch.maximum(own[2:], wanted[2:]) - torch.minimum(own[:2], wanted[:2])).prod(0)
    giou = both / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
    return ((1 - giou) * target.share).sum() / target.share.sum().clamp(min=1e-6)
