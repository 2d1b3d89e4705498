# SPDX-License-Identifier: Apache-2.0
"""Semantic segmentation: logits in, a map of class ids out, judged by mean IoU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.classes import UNLABELLED
from shadowtutor_ros.tasks.protocol import BadLabelling, Emphasis, EVEN
from shadowtutor_ros.tasks.segmentation.loss import DistillationLoss, pixel_weights
from shadowtutor_ros.tasks.segmentation.mask import mask_from_logits
from shadowtutor_ros.tasks.segmentation.metric import class_iou
from shadowtutor_ros.teacher.protocol import Labelling


@dataclass(frozen=True)
class LabelMap:
    """
    The HxW int64 ``class_ids`` of a frame, and the Nx4 ``boxes`` that weigh more.

    What is UNLABELLED has no loss; the rest weighs as much more.
    """

    class_ids: Tensor
    classes: int
    boxes: NDArray[np.float32]
    emphasis: Emphasis

    @cached_property
    def loss(self) -> DistillationLoss:
        """Made when the first step asks: a student that is good enough takes none."""
        weights = pixel_weights(self.class_ids.shape, self.boxes, self.emphasis.object_weight,
                                self.emphasis.box_margin, self.class_ids.device)
        unknown = self.class_ids == UNLABELLED
        share = (~unknown).sum().clamp(min=1) / unknown.numel()
        return DistillationLoss(self.class_ids.masked_fill(unknown, 0),
                                weights.masked_fill(unknown, 0.0) / share)


class Segmentation:
    """
    A class for every pixel.

    Output are 1xCxhxw logits, which are upsampled bilinearly to the frame's size; half of it is
    fastest. An answer is HxW uint8 class ids, a class' score its IoU.
    """

    def target(
        self, labelling: Labelling, size: tuple[int, int], classes: int,
        device: str | torch.device = 'cpu', emphasis: Emphasis = EVEN,
    ) -> LabelMap:
        """Return the label map on ``device``; raise BadLabelling for another size or class."""
        if (shape := tuple(labelling.label_map.shape)) != size:
            raise BadLabelling(f'label has size {shape}, the frame {size}')
        if labelling.largest_id >= classes:
            raise BadLabelling(f'label has class id {labelling.largest_id}, '
                               f'the student only 0 to {classes - 1}')
        label = labelling.class_ids_on(device).long()
        return LabelMap(label, classes, labelling.boxes, emphasis)

    def refill(self, target: LabelMap, other: LabelMap) -> None:
        """Copy label and weights of ``other`` into ``target``."""
        target.class_ids.copy_(other.class_ids)
        target.loss.copy_(other.loss)

    def loss(self, output: Tensor, target: LabelMap) -> Tensor:
        """Return the weighted cross-entropy of 1xCxhxw logits (section 5.2)."""
        return target.loss(output)

    def answer(self, output: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the HxW uint8 class ids of 1xCxhxw logits."""
        return mask_from_logits(output, size)

    def class_scores(self, answer: Tensor, target: LabelMap) -> Tensor:
        """Return the IoU of every class, NaN where neither map has it."""
        return class_iou(answer, target.class_ids, target.classes)

    def metric(self, answer: Tensor, target: LabelMap) -> Tensor:
        """Return the mean IoU (equation 1)."""
        return self.class_scores(answer, target).nanmean()
