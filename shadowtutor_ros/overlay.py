# SPDX-License-Identifier: Apache-2.0
"""A mask painted over its frame."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray


def overlay(
    frame: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    colours: Sequence[tuple[int, int, int]],
    opacity: float,
) -> NDArray[np.uint8]:
    """
    Return the BGR HxWx3 frame with every object class in its colour and background untouched.

    ``mask`` is HxW class ids, ``colours`` (r, g, b) per class with background last,
    ``opacity`` 0-1.
    """
    palette = np.zeros((256, 3), np.uint8)
    palette[:len(colours)] = np.asarray(colours, np.uint8)[:, ::-1]
    painted = cv2.addWeighted(frame, 1.0 - opacity, palette[mask], opacity, 0.0)
    objects = (mask < len(colours) - 1)[..., None]
    return np.where(objects, painted, frame).astype(np.uint8, copy=False)
