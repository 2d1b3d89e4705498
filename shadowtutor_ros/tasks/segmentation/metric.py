# SPDX-License-Identifier: Apache-2.0
"""Mean intersection over union (equation 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.tasks.segmentation.kernels import kernels_on


def class_iou(prediction: Tensor, label: Tensor, classes: int) -> Tensor:
    """
    Return the IoU of every class, NaN where neither map has the class.

    Both maps hold integer class ids below ``classes`` and have one shape. What is above, as
    UNLABELLED, is no class: not looked at in the label, wrong in the prediction. Raise ValueError
    when the shapes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f'prediction has shape {tuple(prediction.shape)}, '
                         f'the label {tuple(label.shape)}')
    if (kernels := kernels_on(label.device)) is not None:
        counts: Tensor = kernels.counts_of(
            prediction.contiguous(), label.contiguous(), classes)
        both, ours, theirs = counts.double().unbind()
        return both / (ours + theirs - both)
    label, prediction = label.flatten().long(), prediction.flatten().long()
    unknown = label >= classes  # counted as one class more
    label = label.masked_fill(unknown, classes)
    prediction = prediction.clamp(max=classes).masked_fill(unknown, classes)
    width = classes + 1
    pairs = label * width + prediction
    confusion = _counts(pairs, width * width).view(width, width)
    hits = confusion.diagonal().double()
    return (hits / (confusion.sum(0) + confusion.sum(1) - hits))[:classes]


def mean_iou(prediction: Tensor, label: Tensor, classes: int) -> float:
    """Return the mean IoU, 0-1, over the classes that either map has, background included."""
    return float(class_iou(prediction, label, classes).nanmean())


def mean_iou_of_masks(
    prediction: NDArray[np.uint8], label: NDArray[np.uint8], classes: int,
) -> float:
    """Return the mean IoU, 0-1, of two HxW uint8 masks."""
    return mean_iou(torch.from_numpy(prediction), torch.from_numpy(label), classes)


def _counts(numbers: Tensor, limit: int) -> Tensor:
    """Return how often each integer below ``limit`` is among ``numbers``."""
    if numbers.device.type == 'cpu':
        return torch.bincount(numbers, minlength=limit)
    # On a GPU bincount waits for the largest of them. Each number in the middle of its bin.
    return torch.histc(numbers.float() + 0.5, limit, 0, limit)
