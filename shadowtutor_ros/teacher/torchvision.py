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
from shadowtutor_ros.teacher.protocol import Labelling, TeacherOptions, TeacherUnavailable
from shadowtutor_ros.teacher.weights import file_version, load_weights


class TorchvisionTeacher:
    """
    ``maskrcnn_resnet50_fpn_v2``, trained on COCO.

    ``weights`` of the options is its state dict, written by torch.save; without it torchvision
    downloads its own.
    """

    name = 'torchvision'

    def __init__(self, options: TeacherOptions) -> None:
        try:
            from torchvision.models.detection import (
                maskrcnn_resnet50_fpn_v2,
                MaskRCNN_ResNet50_FPN_V2_Weights,
            )
        except (ImportError, RuntimeError) as error:  # a torch of another build: RuntimeError
            raise TeacherUnavailable(
                'teacher torchvision: the package is not installed or not for this torch; '
                f'pip install torchvision, or take another teacher ({error})') from error
        coco = MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
        try:
            network = maskrcnn_resnet50_fpn_v2(
                weights=None if options.weights else coco, weights_backbone=None,
                box_score_thresh=options.score_threshold)
        except OSError as error:
            raise TeacherUnavailable(
                f'teacher torchvision: {coco.url} cannot be had, give a local file as '
                f'teacher_weights ({error})') from error
        weights = str(coco)
        if options.weights:
            load_weights(network, options.weights)
            weights = file_version(options.weights)
        self.version = f'{weights} {options.score_threshold}'
        self._classes = options.classes
        self._device = options.device
        self._categories = coco.meta['categories']
        self._network = network.eval().to(options.device)

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

    ``categories`` names its 91 label numbers, ten of which COCO left out: they are no objects.
    ``masks`` is Nx1xHxW probabilities.
    """
    coco = {name: index for index, name in enumerate(COCO_NAMES)}
    names = [categories[label] for label in output['labels'].tolist()]
    kept = [index for index, name in enumerate(names) if name in coco]
    ids = np.array([coco[names[index]] for index in kept], np.int64)
    masks = output['masks'][:, 0]
    return paint(lambda index: (masks[kept[index]] > 0.5).cpu().numpy(), ids,
                 output['scores'][kept].cpu().numpy(), output['boxes'][kept].cpu().numpy(),
                 classes, (masks.shape[1], masks.shape[2]))
