# SPDX-License-Identifier: Apache-2.0
"""Mask R-CNN of torchvision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.classes import ClassSet, COCO_NAMES
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.instances import paint, Patch
from shadowtutor_ros.teacher.picture import rgb
from shadowtutor_ros.teacher.protocol import (
    Labelling,
    StampedFrame,
    TeacherOptions,
    TeacherUnavailable,
)
from shadowtutor_ros.teacher.weights import file_version, load_weights
from shadowtutor_ros.upload import upload


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

    def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame."""
        return self.label_many([StampedFrame(frame, stamp)])[0]

    def label_many(self, frames: Sequence[StampedFrame]) -> list[Labelling]:
        """Label BGR uint8 HxWx3 frames of any sizes together."""
        with torch.inference_mode():
            outputs = self._network([
                rgb(upload(stamped.frame, self._device)) for stamped in frames])
        return [labelling_of(output, self._categories, self._classes) for output in outputs]


def labelling_of(
    output: Mapping[str, Tensor], categories: Sequence[str], classes: ClassSet,
) -> Labelling:
    """
    Return the labelling of one torchvision detection.

    ``categories`` names its 91 label numbers, ten of which COCO left out: they are no objects.
    ``masks`` is Nx1xHxW probabilities; the label map is made on their device.
    """
    coco = {name: index for index, name in enumerate(COCO_NAMES)}
    names = [categories[label] for label in output['labels'].tolist()]
    kept = [index for index, name in enumerate(names) if name in coco]
    ids = np.array([coco[names[index]] for index in kept], np.int64)
    masks = output['masks'][:, 0]
    return paint(lambda index: Patch(0, 0, masks[kept[index]] > 0.5), ids,
                 output['scores'][kept].cpu().numpy(), output['boxes'][kept].cpu().numpy(),
                 classes, (masks.shape[1], masks.shape[2]), masks.device)
