# SPDX-License-Identifier: Apache-2.0
"""Frames of any size as the network's input, and what it says of them back in the frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.instances import Patch
from shadowtutor_ros.teacher.picture import rgb
from shadowtutor_ros.upload import upload

_STRIDE = 32  # the network's coarsest level
_MASK_STRIDE = 4  # of the prototypes
_GREY = 114  # what the networks saw around their training images


@dataclass(frozen=True)
class Letterbox:
    """
    A frame of ``size`` scaled into the network's input, all sizes (H, W) in pixels.

    The frame becomes ``inner``, and ``top`` rows and ``left`` columns of grey before it and some
    after it make it ``outer``.
    """

    size: tuple[int, int]
    scale: float
    top: int
    left: int
    inner: tuple[int, int]
    outer: tuple[int, int]

    @classmethod
    @lru_cache(maxsize=32)  # of streams, each of which sends frames of one size
    def fit(cls, height: int, width: int, image_size: int) -> Letterbox:
        """Scale the longer side to ``image_size``; pad both to multiples of 32."""
        scale = image_size / max(height, width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        outer = tuple(-(-side // _STRIDE) * _STRIDE for side in inner)
        return cls((height, width), scale, (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2,
                   inner, (outer[0], outer[1]))

    def picture(self, frame: Frame, device: torch.device) -> Tensor:
        """Return the input 3xHxW, RGB 0-1 float32, of a BGR uint8 frame, on ``device``."""
        return (self.picture_here(frame) if device.type == 'cpu'
                else self.picture_there(upload(frame, device)))

    def picture_here(self, frame: Frame) -> Tensor:
        """Return the input that OpenCV makes: on a CPU nothing is faster."""
        picture = cv2.resize(frame, self.inner[::-1], interpolation=(
            cv2.INTER_AREA if self.scale < 1 else cv2.INTER_LINEAR))
        out = np.full((*self.outer, 3), _GREY, np.uint8)
        out[self.top:self.top + self.inner[0], self.left:self.left + self.inner[1]] = picture
        return rgb(torch.from_numpy(out))

    def picture_there(self, picture: Tensor) -> Tensor:
        """Return the input of a picture where it is: the same, but never rounded to bytes."""
        (height, width), (rows, columns) = self.size, self.inner
        scaled = _resizing(height, rows, picture.device) @ picture.view(height, -1).float()
        scaled = scaled.view(rows, width, 3).permute(2, 0, 1).flip(0)  # BGR to RGB
        out = torch.full((3, *self.outer), _GREY / 255, device=picture.device)
        out[:, self.top:self.top + rows, self.left:self.left + columns] = (
            scaled @ _resizing(width, columns, picture.device).T / 255)
        return out

    def boxes_to_frame(self, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return Nx4 x1, y1, x2, y2 of the frame for those of the input."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        return (boxes - offset) / np.float32(self.scale)

    def mask_to_frame(self, logits: Tensor, box: NDArray[np.float32]) -> Patch:
        """
        Return the mask of an instance within its ``box`` x1, y1, x2, y2 in the frame.

        ``logits`` is hxw, a quarter of the input's size. They are stretched to the input's size,
        freed of what the grey shows, and stretched to the frame's.
        """
        height, width = self.size
        x1, y1 = (max(0, int(side)) for side in box[:2])
        x2, y2 = (max(0, int(np.ceil(side))) for side in box[2:])
        rows = _to_frame(self.outer[0], self.top, self.inner[0], height, logits.device)
        columns = _to_frame(self.outer[1], self.left, self.inner[1], width, logits.device)
        stretched = rows[y1:y2] @ logits @ columns[x1:x2].T
        return Patch(min(y1, height), min(x1, width), stretched > 0)


# A resizing of rows or columns is a matrix: what it makes of each row is a sum of some others.
# Those of a few frame sizes are kept on the device.

@lru_cache(maxsize=16)
def _resizing(source: int, target: int, device: torch.device) -> Tensor:
    """Return target x source: the mean of the area where it shrinks, else linear."""
    if target >= source:
        return _linear(source, target).to(device)
    scale = source / target
    start = torch.arange(target, dtype=torch.float64)[:, None] * scale
    pixel = torch.arange(source, dtype=torch.float64)
    shared = torch.minimum(start + scale, pixel + 1) - torch.maximum(start, pixel)
    return (shared.clamp_(min=0) / scale).float().to(device)


@lru_cache(maxsize=16)
def _to_frame(outer: int, start: int, inner: int, size: int, device: torch.device) -> Tensor:
    """Return size x outer / 4: from a side of the prototypes to that of the frame."""
    stretched = _linear(outer // _MASK_STRIDE, outer)[start:start + inner]
    return (_linear(inner, size) @ stretched).to(device)


def _linear(source: int, target: int) -> Tensor:
    """Return target x source: between the centres of the two next ones."""
    centre = (torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5
    distance = centre.clamp_(0, source - 1)[:, None] - torch.arange(source, dtype=torch.float64)
    return (1 - distance.abs()).clamp_(min=0).float()
