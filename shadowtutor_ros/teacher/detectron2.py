# SPDX-License-Identifier: Apache-2.0
"""Mask R-CNN of detectron2: the paper's teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.instances import paint, Patch
from shadowtutor_ros.teacher.protocol import (
    Labelling,
    StampedFrame,
    TeacherOptions,
    TeacherUnavailable,
)
from shadowtutor_ros.teacher.weights import file_version, load_weights

CONFIG = 'COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml'


class Detectron2Teacher:
    """
    A COCO instance-segmentation model of detectron2's model zoo.

    ``weights`` of the options is a ``.pkl`` or ``.pth`` of the network that ``config`` names;
    without them those of the model zoo are downloaded.
    """

    name = 'detectron2'

    def __init__(self, options: TeacherOptions, config: str = CONFIG) -> None:
        try:
            from detectron2 import model_zoo
            from detectron2.config import get_cfg
            from detectron2.engine import DefaultPredictor
        except ImportError as error:
            raise TeacherUnavailable(
                'teacher detectron2: the package is not installed; build it from '
                'github.com/facebookresearch/detectron2 with pip install '
                "--no-build-isolation and 'setuptools<81', or take another teacher: run "
                f'`shadowtutor teacher fetch` and launch with teacher:=yolo ({error})') from error
        settings = get_cfg()
        settings.merge_from_file(model_zoo.get_config_file(config))
        settings.MODEL.WEIGHTS = '' if options.weights else model_zoo.get_checkpoint_url(config)
        settings.MODEL.ROI_HEADS.SCORE_THRESH_TEST = options.score_threshold
        settings.MODEL.DEVICE = options.device
        try:
            self._predict = DefaultPredictor(settings)
        except OSError as error:
            raise TeacherUnavailable(
                f'teacher detectron2: {settings.MODEL.WEIGHTS} cannot be had, give a local file '
                f'as teacher_weights ({error})') from error
        weights = config
        if options.weights:
            load_weights(self._predict.model, options.weights)
            weights = file_version(options.weights)
        self.version = f'{weights} {options.score_threshold}'
        self._classes = options.classes

    def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame."""
        return self.label_many([StampedFrame(frame, stamp)])[0]

    def label_many(self, frames: Sequence[StampedFrame]) -> list[Labelling]:
        """Label BGR uint8 HxWx3 frames of any sizes together."""
        with torch.no_grad():
            outputs = self._predict.model([self._input(stamped.frame) for stamped in frames])
        return [labelling_of(output['instances'], self._classes) for output in outputs]

    def _input(self, frame: Frame) -> dict[str, Any]:
        """Return what the model takes, made as DefaultPredictor does, which takes one frame."""
        picture = frame[..., ::-1] if self._predict.input_format == 'RGB' else frame
        resized = self._predict.aug.get_transform(picture).apply_image(picture)
        image = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1), np.float32))
        return {'image': image, 'height': frame.shape[0], 'width': frame.shape[1]}


def labelling_of(instances: Any, classes: ClassSet) -> Labelling:
    """Return the labelling, on its device, of detectron2's ``Instances`` of COCO ids 0-79."""
    masks: Tensor = instances.pred_masks
    return paint(lambda index: Patch(0, 0, masks[index].bool()),
                 instances.pred_classes.cpu().numpy(), instances.scores.cpu().numpy(),
                 instances.pred_boxes.tensor.cpu().numpy(), classes,
                 (masks.shape[1], masks.shape[2]), masks.device)
