# SPDX-License-Identifier: Apache-2.0
"""Pictures as the camera might have taken them from somewhere else: flipped, shifted, scaled."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.distill.memory import Example
from shadowtutor_ros.teacher.protocol import Labelling

_SHIFT = 0.15  # of width and height, either way
_SCALE = 1.3  # larger or smaller, at most


def augmented(example: Example, random: np.random.Generator) -> Example:
    """
    Return a copy of ``example``, of the same size, flipped half of the time, shifted and scaled.

    What was not in the picture is mirrored into it, in frame and labels alike. The boxes move
    with the objects.
    """
    height, width = example.frame.shape[:2]
    matrix = _affine(width, height, random)

    def warped(image: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        return np.asarray(cv2.warpAffine(
            image, matrix, (width, height), flags=interpolation,
            borderMode=cv2.BORDER_REFLECT_101), np.uint8)

    labelling = example.labelling
    return Example(warped(example.frame, cv2.INTER_LINEAR), Labelling(
        warped(labelling.class_ids, cv2.INTER_NEAREST),
        _moved(labelling.boxes, matrix, (width, height)), labelling.scores))


def _affine(width: int, height: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the 2x3 matrix from a pixel of the picture to that of the copy."""
    scale = _SCALE ** random.uniform(-1.0, 1.0)
    mirror = -1.0 if random.random() < 0.5 else 1.0
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    shift = random.uniform(-_SHIFT, _SHIFT, 2) * (width, height)
    turn = np.diag([mirror * scale, scale])
    return np.column_stack([turn, centre + shift - turn @ centre])


def _moved(
    boxes: NDArray[np.float32], matrix: NDArray[np.float64], size: tuple[int, int],
) -> NDArray[np.float32]:
    """Return Nx4 boxes where ``matrix`` has moved them, cut at the picture of ``size`` (W, H)."""
    corners = boxes.reshape(-1, 2, 2) @ matrix[:, :2].T + matrix[:, 2]
    corners = np.sort(corners, axis=1).clip(0, size)
    return corners.reshape(-1, 4).astype(np.float32)
