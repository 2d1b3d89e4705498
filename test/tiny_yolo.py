# SPDX-License-Identifier: Apache-2.0
"""A YOLO segmentation network as small as one can be."""

from __future__ import annotations

import torch
from torch import nn

from shadowtutor_ros.classes import COCO_NAMES
from shadowtutor_ros.teacher.yolo.modules import Segment, SegmentationModel

_CLASSES, _MASKS = len(COCO_NAMES), 4


def _layer(inputs: int, stride: int, source: int) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, 16, 3, stride, 1)
    layer.f = source
    return layer


def tiny_network() -> SegmentationModel:
    """Return a network of four layers, random weights, sure of many objects of two classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = Segment()
        head.nc, head.nm, head.na, head.no = _CLASSES, _MASKS, 1, 5 + _CLASSES + _MASKS
        head.register_buffer('anchors', torch.full((3, 1, 2), 2.0))  # as files have it
        head.stride = torch.tensor([8.0, 16.0, 32.0])
        head.m = nn.ModuleList([nn.Conv2d(16, head.no, 1) for _ in range(3)])
        head.proto = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, _MASKS, 3, 1, 1))
        head.f = [0, 1, 2]
        network = SegmentationModel()
        network.model = nn.Sequential(
            _layer(3, 8, -1), _layer(16, 2, -1), _layer(16, 2, -1), head)
    network.eval().requires_grad_(False)
    for convolution in head.m:
        convolution.weight *= 8
        convolution.bias[4] = 2.0  # an object
        convolution.bias[5:5 + _CLASSES] = -9.0
        convolution.bias[5] = convolution.bias[7] = 0.0  # a person or a car
    return network
