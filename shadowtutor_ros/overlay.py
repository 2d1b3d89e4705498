# SPDX-License-Identifier: Apache-2.0
"""A mask, or boxes, painted over their frame."""

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

    ``mask`` is HxW class ids, ``colours`` (r, g, b) per class with background last, or none at
    all, ``opacity`` 0-1.
    """
    palette = np.zeros((256, 3), np.uint8)
    palette[:len(colours)] = np.reshape(colours, (-1, 3))[:, ::-1]
    painted = cv2.addWeighted(frame, 1.0 - opacity, palette[mask], opacity, 0.0)
    objects = (mask < len(colours) - 1)[..., None]
    return np.where(objects, painted, frame).astype(np.uint8, copy=False)


def outline(
    frame: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    ids: NDArray[np.uint8],
    captions: Sequence[str],
    colours: Sequence[tuple[int, int, int]],
    opacity: float,
) -> NDArray[np.uint8]:
    """
    Return the BGR HxWx3 frame with N boxes in the colours of their classes, the first on top.

    ``boxes`` is Nx4 x1, y1, x2, y2 in pixels, ``ids`` and ``captions`` N, ``colours`` (r, g, b)
    per class, ``opacity`` 0-1.
    """
    painted = frame.copy()
    line = max(1, min(frame.shape[:2]) // 240)
    scale = 0.4 * max(1.0, min(frame.shape[:2]) / 480)
    for (x1, y1, x2, y2), class_id, caption in reversed([*zip(
            boxes.round().astype(int).tolist(), ids.tolist(), captions)]):
        colour = colours[class_id][::-1] if class_id < len(colours) else (255, 255, 255)
        cv2.rectangle(painted, (x1, y1), (x2, y2), colour, line)
        cv2.putText(painted, caption, (x1, max(y1 - 2 * line, round(25 * scale))),
                    cv2.FONT_HERSHEY_SIMPLEX, scale, colour, line, cv2.LINE_AA)
    return cv2.addWeighted(frame, 1.0 - opacity, painted, opacity, 0.0).astype(
        np.uint8, copy=False)
