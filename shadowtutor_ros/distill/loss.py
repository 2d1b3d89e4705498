# SPDX-License-Identifier: Apache-2.0
"""Cross-entropy that looks harder at the objects (section 5.2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
import torch.nn.functional as F


def pixel_weights(
    size: tuple[int, ...],
    boxes: NDArray[np.float32],
    object_weight: float,
    margin: float,
) -> Tensor:
    """
    Return HxW float32 weights: ``object_weight`` in and near the boxes, 1 elsewhere.

    ``size`` is (H, W). ``boxes`` is Nx4 (x1, y1, x2, y2) in pixels; each grows by ``margin``
    times its own width and height on every side, clipped to the image.
    """
    height, width = size
    weights = torch.ones(height, width)
    for x1, y1, x2, y2 in boxes.tolist():
        dx, dy = margin * (x2 - x1), margin * (y2 - y1)
        left, right = max(0, math.floor(x1 - dx)), min(width, math.ceil(x2 + dx))
        top, bottom = max(0, math.floor(y1 - dy)), min(height, math.ceil(y2 + dy))
        weights[top:max(top, bottom), left:max(left, right)] = object_weight
    return weights


def distillation_loss(logits: Tensor, label: Tensor, weights: Tensor) -> Tensor:
    """
    Return the mean over all pixels of the weighted cross-entropy.

    ``logits`` is 1xCxHxW, ``label`` 1xHxW int64 class ids, ``weights`` HxW.
    """
    return (F.cross_entropy(logits, label, reduction='none') * weights).mean()
