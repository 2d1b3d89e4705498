# SPDX-License-Identifier: Apache-2.0
"""Mask R-CNN of torchvision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.classes import ClassSet, COCO_NAMES
from shadowtutor_ros.teacher.instances import paint
from shadowtutor_ros.teacher.protocol import Labelling, TeacherUnavailable


class TorchvisionTeacher:
    """``maskrcnn_resnet50_fpn_v2`` with its COCO weights."""

    def __init__(self, classes: ClassSet, device: str, score_threshold: float) -> None:
        try:
            from torchvision.models.detection import (
                maskrcnn_resnet50_fpn_v2,
                MaskRCNN_ResNet50_FPN_V2_Weights,
            )
        except (ImportError, RuntimeError) as error:  # a torch of another build: RuntimeError
            raise TeacherUnavailable(
                'teacher torchvision: the package is not installed or not for this torch; '
                f'pip install torchvision, or take another teacher ({error})') from error
        weights = MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
        self.name = 'torchvision'
        self.version = f'{weights} {score_threshold}'
        self._classes = classes
        self._device = device
        self._categories = weights.meta['categories']
        self._network = maskrcnn_resnet50_fpn_v2(
            weights=weights, box_score_thresh=score_threshold).eval().to(device)

    @torch.inference_mode()
    def label(self, frame: NDArray[np.uint8], stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame."""
        rgb = np.ascontiguousarray(frame[..., ::-1])
        image = torch.from_numpy(rgb).to(self._device).permute(2, 0, 1).float() / 255
        return labelling_of(self._network([image])[0], self._categories, self._classes)


def labelling_of(
    output: Mapping[str, Tensor], categories: Sequence[str], classes: ClassSet,
) -> Labelling:
    """
    Return the labelling of one torchvision detection.

    ``categories`` names its 91 label numbers; ``masks`` is Nx1xHxW probabilities.
    """
    coco = {name: index for index, name in enumerate(COCO_NAMES)}
    ids = np.array([coco[categories[label]] for label in output['labels'].tolist()], np.int64)
    masks = output['masks'][:, 0].cpu().numpy() > 0.5
    return paint(masks, ids, output['scores'].cpu().numpy(), output['boxes'].cpu().numpy(),
                 classes)
