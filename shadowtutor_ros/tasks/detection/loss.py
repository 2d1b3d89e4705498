# SPDX-License-Identifier: Apache-2.0
"""How wrong an output is: where centres are, and how far their boxes reach."""

from __future__ import annotations

import torch
from torch import Tensor
import torch.nn.functional as F

from shadowtutor_ros.tasks.detection.decode import corners_of
from shadowtutor_ros.tasks.detection.target import BoxTarget

_OF_BOXES = 5.0  # what boxes count beside centres


def detection_loss(output: Tensor, target: BoxTarget) -> Tensor:
    """Return the loss of a 1x(C+4)xhxw ``output`` as a scalar that has gradients."""
    output = output.float()
    logits, sides = output[0, :-4], output[0, -4:]
    return _of_centres(logits, target) + _OF_BOXES * _of_boxes(corners_of(sides), target)


def _of_centres(logits: Tensor, target: BoxTarget) -> Tensor:
    """
    Return the cross-entropy to the heat, weighted by how far a score is from it.

    It is generalised focal loss (NeurIPS 2020): many cells around a centre say where it is, and
    the thousands that are right already say nothing.
    """
    heat = target.heat
    each = F.binary_cross_entropy_with_logits(logits, heat, reduction='none')
    each = each * (heat - logits.sigmoid()).abs() * target.known
    return each.sum() / (heat == 1).sum().clamp(min=1)


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
