# SPDX-License-Identifier: Apache-2.0
"""Mask R-CNN of detectron2: the paper's teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.instances import paint
from shadowtutor_ros.teacher.protocol import Labelling, TeacherOptions, TeacherUnavailable
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
                "--no-build-isolation and 'setuptools<81', or take another teacher "
                f'({error})') from error
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

    def label(self, frame: NDArray[np.uint8], stamp: float = 0.0) -> Labelling:
        """Label a BGR uint8 HxWx3 frame."""
        return labelling_of(self._predict(frame)['instances'], self._classes)


def labelling_of(instances: Any, classes: ClassSet) -> Labelling:
    """Return the labelling of detectron2's ``Instances``, whose class ids are COCO's 0-79."""
    instances = instances.to('cpu')
    masks: torch.Tensor = instances.pred_masks
    return paint(lambda index: masks[index].numpy().astype(bool),
                 instances.pred_classes.numpy(), instances.scores.numpy(),
                 instances.pred_boxes.tensor.numpy(), classes, (masks.shape[1], masks.shape[2]))
