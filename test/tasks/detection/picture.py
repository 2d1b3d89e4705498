# SPDX-License-Identifier: Apache-2.0
"""A labelled picture of 64 x 96 pixels, and outputs that say what is in it."""

from __future__ import annotations

import numpy as np
import torch

from shadowtutor_ros.tasks.detection.target import STRIDE
from shadowtutor_ros.teacher.protocol import Labelling

SIZE = (64, 96)
CLASSES = 3  # with background
PERSON, CAR, BACKGROUND = range(CLASSES)
BOXES = [[12, 12, 28, 52], [40, 24, 88, 48]]
IDS = [PERSON, CAR]


def labelling(
    boxes: list[list[float]] = BOXES, ids: list[int] | None = IDS,
    scores: list[float] | None = None,
) -> Labelling:
    """Return boxes of ids; without ``ids`` the map alone has the classes of BOXES."""
    class_ids = np.full(SIZE, BACKGROUND, np.uint8)
    for (x1, y1, x2, y2), class_id in zip(BOXES, IDS):
        class_ids[y1:y2, x1:x2] = class_id
    return Labelling(
        class_ids, np.array(boxes, np.float32).reshape(-1, 4),
        np.array([1.0] * len(boxes) if scores is None else scores, np.float32),
        None if ids is None else np.array(ids, np.uint8))


def output_of(*said: tuple[list[float], int, float]) -> torch.Tensor:
    """Return the output that says boxes of classes, each with its logit, at their middles."""
    rows, columns = SIZE[0] // STRIDE, SIZE[1] // STRIDE
    output = torch.full((1, CLASSES - 1 + 4, rows, columns), -9.0)
    output[:, -4:] = 0.0
    for (x1, y1, x2, y2), class_id, logit in said:
        row, column = int((y1 + y2) / 2 // STRIDE), int((x1 + x2) / 2 // STRIDE)
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        output[0, class_id, row, column] = logit
        output[0, -4:, row, column] = torch.tensor(
            [x - x1, y - y1, x2 - x, y2 - y]).div(STRIDE).log()
    return output
