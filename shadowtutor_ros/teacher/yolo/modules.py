# SPDX-License-Identifier: Apache-2.0
"""
The building blocks of YOLOv5 and YOLOv7 segmentation networks.

A weight file pickles the whole tree of modules with their attributes, so these classes have
no constructors: the file fills them in, they only compute.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn, Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Conv(nn.Module):
    """Convolution, batch normalisation (folded in after loading) and activation."""

    conv: nn.Conv2d
    bn: nn.BatchNorm2d
    act: nn.Module

    def fuse(self) -> None:
        self.conv = fuse_conv_bn_eval(self.conv, self.bn)
        del self.bn

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv(x))
        return out


class Bottleneck(nn.Module):
    """Two convolutions, with a shortcut where ``add`` says so."""

    cv1: nn.Module
    cv2: nn.Module
    add: bool

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cv2(self.cv1(x))
        return x + out if self.add else out


class C3(nn.Module):
    """Cross-stage partial block: bottlenecks beside one convolution."""

    cv1: nn.Module
    cv2: nn.Module
    cv3: nn.Module
    m: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))
        return out


class SPPF(nn.Module):
    """Spatial pyramid pooling by repeated small pools."""

    cv1: nn.Module
    cv2: nn.Module
    m: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        levels = [self.cv1(x)]
        for _ in range(3):
            levels.append(self.m(levels[-1]))
        out: Tensor = self.cv2(torch.cat(levels, 1))
        return out


class SPPCSPC(nn.Module):
    """Spatial pyramid pooling within a cross-stage partial block."""

    cv1: nn.Module
    cv2: nn.Module
    cv3: nn.Module
    cv4: nn.Module
    cv5: nn.Module
    cv6: nn.Module
    cv7: nn.Module
    m: nn.ModuleList

    def forward(self, x: Tensor) -> Tensor:
        deep = self.cv4(self.cv3(self.cv1(x)))
        pooled = torch.cat([deep, *(pool(deep) for pool in self.m)], 1)
        out: Tensor = self.cv7(torch.cat((self.cv6(self.cv5(pooled)), self.cv2(x)), 1))
        return out


class MP(nn.Module):
    """Max pooling."""

    m: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.m(x)
        return out


class Concat(nn.Module):
    """Joins several inputs along the dimension ``d``."""

    d: int

    def forward(self, x: list[Tensor]) -> Tensor:
        return torch.cat(x, self.d)


class Proto(nn.Module):
    """Mask prototypes from the finest level."""

    cv1: nn.Module
    cv2: nn.Module
    cv3: nn.Module
    upsample: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cv3(self.cv2(self.upsample(self.cv1(x))))
        return out


class ImplicitA(nn.Module):
    """Implicit knowledge of YOLOv7: a constant for each channel, added to the head's input."""

    implicit: Tensor  # 1xCx1x1


class Detections(NamedTuple):
    """
    What the network says of B images of HxW pixels, N candidates of C classes in each, float32.

    ``boxes`` BxNx4 centre x, y, width, height in pixels; ``scores`` BxNxC; ``coefficients``
    BxNx32 of the ``prototypes`` Bx32x(H/4)x(W/4), whose products are mask logits.
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor
    prototypes: Tensor


class Segment(nn.Module):
    """The head: boxes, scores and mask coefficients on three levels, and the prototypes."""

    nc: int  # classes
    no: int  # channels of an anchor: place, objectness, classes, coefficients
    na: int  # anchors of a level
    nm: int  # mask coefficients
    anchors: Tensor  # levels x na x 2, in strides
    stride: Tensor  # of each level, in pixels
    m: nn.ModuleList  # 1x1 convolutions
    ia: nn.ModuleList  # ImplicitA of each level, in YOLOv7 only
    proto: nn.Module

    def fuse(self) -> None:
        """Fold the implicit knowledge into the biases of the convolutions that follow it."""
        convolution: Any
        for convolution, added in zip(self.m, getattr(self, 'ia', ())):
            convolution.bias += convolution.weight.flatten(1) @ added.implicit.flatten()

    def forward(self, x: list[Tensor]) -> Detections:
        # In half precision a place would be known to half a pixel.
        decoded = [self._decode(convolve(level).float(), anchors, stride)
                   for convolve, level, anchors, stride
                   in zip(self.m, x, self.anchors, self.stride)]
        boxes, scores, coefficients = (torch.cat(part, 1) for part in zip(*decoded))
        return Detections(boxes, scores, coefficients, self.proto(x[0]).float())

    def _decode(
        self, raw: Tensor, anchors: Tensor, stride: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, _, height, width = raw.shape
        raw = raw.view(batch, self.na, self.no, height, width).permute(0, 1, 3, 4, 2)
        places, scores, coefficients = torch.split(
            raw, [4, 1 + self.nc, self.nm], -1)
        y, x = torch.meshgrid(
            torch.arange(height, device=raw.device), torch.arange(width, device=raw.device),
            indexing='ij')
        places, scores = places.sigmoid() * 2, scores.sigmoid()
        centres = (places[..., :2] - 0.5 + torch.stack((x, y), -1)) * stride
        sizes = places[..., 2:] ** 2 * (anchors * stride).view(-1, 1, 1, 2)
        return (torch.cat((centres, sizes), -1).reshape(batch, -1, 4),
                (scores[..., :1] * scores[..., 1:]).reshape(batch, -1, self.nc),
                coefficients.reshape(batch, -1, self.nm))


class SegmentationModel(nn.Module):
    """
    The layers of ``model`` in order; each takes the outputs that its ``f`` names.

    Takes Bx3xHxW RGB images, 0-1, with H and W multiples of 32.
    """

    model: nn.Sequential

    def forward(self, x: Tensor) -> Detections:
        outputs: list[Any] = [x]  # the image first, so that -1 is the last output throughout
        for layer in self.model:
            f: Any = layer.f
            outputs.append(layer(_output(outputs, f) if isinstance(f, int)
                                 else [_output(outputs, one) for one in f]))
        found: Detections = outputs[-1]
        return found


def _output(outputs: list[Any], f: int) -> Any:
    """Return the output of layer ``f``, counted from the last where it is negative."""
    return outputs[f] if f < 0 else outputs[f + 1]
