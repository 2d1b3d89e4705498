# SPDX-License-Identifier: Apache-2.0
"""Pictures as the camera might have taken them from somewhere else: flipped, shifted, scaled."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor
import torch.nn.functional as F

from shadowtutor_ros.distill.memory import Example
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.upload import upload

_SHIFT = 0.15  # of width and height, either way
_SCALE = 1.3  # larger or smaller, at most


@dataclass(frozen=True)
class Warp:
    """
    Flipped half of the time, shifted and scaled: ``matrix``, 2x3, leads from pixel to pixel.

    What was not in the picture is mirrored into it, in frame and labels alike.
    """

    matrix: NDArray[np.float64]

    @classmethod
    def draw(cls, size: tuple[int, int], random: np.random.Generator) -> Warp:
        """Return a warp for pictures of ``size`` (H, W)."""
        height, width = size
        scale = _SCALE ** random.uniform(-1.0, 1.0)
        mirror = -1.0 if random.random() < 0.5 else 1.0
        centre = np.array([(width - 1) / 2, (height - 1) / 2])
        shift = random.uniform(-_SHIFT, _SHIFT, 2) * (width, height)
        turn = np.diag([mirror * scale, scale])
        return cls(np.column_stack([turn, centre + shift - turn @ centre]))

    def array(self, image: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        """Return a copy of an HxW... ``image`` by OpenCV's ``interpolation``."""
        return np.asarray(cv2.warpAffine(
            image, self.matrix, image.shape[1::-1], flags=interpolation,
            borderMode=cv2.BORDER_REFLECT_101), np.uint8)

    def tensors(self, frame: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return copies of a uint8 HxWx3 frame and HxW labels, made on their device."""
        grid = torch.stack(torch.meshgrid(
            *(self._sources(axis, labels.shape[1 - axis], labels.device) for axis in (0, 1)),
            indexing='xy'), -1)[None]
        pixels = _sampled(frame.permute(2, 0, 1), grid, 'bilinear')
        return (pixels.round_().to(torch.uint8).permute(1, 2, 0).contiguous(),
                _sampled(labels[None], grid, 'nearest')[0].to(torch.uint8))

    def boxes(self, boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
        """Return Nx4 boxes where the objects have moved, cut at the picture of ``size`` (H, W)."""
        corners = boxes.reshape(-1, 2, 2) @ self.matrix[:, :2].T + self.matrix[:, 2]
        corners = np.sort(corners, axis=1).clip(0, size[::-1])
        return corners.reshape(-1, 4).astype(np.float32)

    def _sources(self, axis: int, length: int, device: torch.device) -> Tensor:
        """Return where the pixels along x (0) or y (1) were, from -1 for the first to 1."""
        places = torch.arange(length, device=device)
        places = (places - float(self.matrix[axis, 2])) / float(self.matrix[axis, axis])
        return (places * (2 / max(1, length - 1)) - 1).float()


def example_on(device: torch.device, example: Example, warp: Warp | None) -> tuple[
        Tensor, Labelling]:
    """Return the HxWx3 uint8 frame and the labelling of ``example``, warped, on ``device``."""
    frame, known = example.frame, example.labelling
    size = frame.shape[0], frame.shape[1]
    boxes = known.boxes if warp is None else warp.boxes(known.boxes, size)
    if device.type == 'cpu':
        labels = known.class_ids
        if warp is not None:
            frame = warp.array(frame, cv2.INTER_LINEAR)
            labels = warp.array(labels, cv2.INTER_NEAREST)
        return upload(frame, device), Labelling(labels, boxes, known.scores, known.box_ids)
    pixels, there = upload(frame, device), known.class_ids_on(device)
    if warp is not None:
        pixels, there = warp.tensors(pixels, there)
    labelling = Labelling(there, boxes, known.scores, known.box_ids)
    vars(labelling)['largest_id'] = known.largest_id  # no wait for the device to say so
    return pixels, labelling


def _sampled(planes: Tensor, grid: Tensor, mode: str) -> Tensor:
    """Return CxHxW ``planes`` as float32 at the places of ``grid``."""
    return F.grid_sample(planes[None].float(), grid, mode, 'reflection', align_corners=True)[0]
