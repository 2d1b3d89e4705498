# SPDX-License-Identifier: Apache-2.0
"""Average precision over many frames, as COCO has it at one overlap."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
import torch

from shadowtutor_ros.tasks.detection.boxes import Boxes, overlaps

_SAME = 0.5  # overlap of two boxes of one object
_RECALLS = np.linspace(0.0, 1.0, 101)


class AveragePrecision:
    """
    AP at an overlap of 0.5 of all that was said of all frames so far.

    In each frame the surest boxes choose first, each the object of its class that it overlaps
    most and that nobody has.
    """

    def __init__(self) -> None:
        self._scores: defaultdict[int, list[float]] = defaultdict(list)
        self._right: defaultdict[int, list[bool]] = defaultdict(list)
        self._wanted: defaultdict[int, int] = defaultdict(int)

    def add(self, said: Boxes, wanted: Boxes) -> None:
        """Take a frame: what was ``said`` of it, the surest first, and what is right."""
        for class_id in np.unique(wanted.ids).tolist():
            self._wanted[class_id] += int((wanted.ids == class_id).sum())
        for class_id in np.unique(said.ids).tolist():
            own = said.ids == class_id
            self._scores[class_id] += said.scores[own].tolist()
            self._right[class_id] += _found(
                said.corners[own], wanted.corners[wanted.ids == class_id])

    def of_class(self, class_id: int) -> float:
        """Return the average precision of a class, 0-1; NaN if no frame had an object of it."""
        if not self._wanted[class_id]:
            return float('nan')
        order = np.argsort(-np.array(self._scores[class_id]), kind='stable')
        right = np.array(self._right[class_id], bool)[order]
        hits = np.cumsum(right)
        recall, precision = hits / self._wanted[class_id], hits / np.arange(1, len(right) + 1)
        # Of two places on the curve with one recall or more, the better precision counts.
        envelope = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
        return float(envelope[np.searchsorted(recall, _RECALLS, 'left')].mean())

    def mean(self) -> float:
        """Return the mean over the classes that the frames had, 0-1; NaN if they had none."""
        values = [self.of_class(class_id) for class_id, count in [*self._wanted.items()] if count]
        return float(np.mean(values)) if values else float('nan')


def _found(said: NDArray[np.float32], wanted: NDArray[np.float32]) -> list[bool]:
    """Return which of the boxes, the surest first, find an object that no surer one found."""
    left = overlaps(torch.from_numpy(said).double(), torch.from_numpy(wanted).double()).numpy()
    found = []
    for row in left:
        best = int(row.argmax()) if len(row) else 0
        found.append(bool(len(row)) and bool(row[best] >= _SAME))
        if found[-1]:
            left[:, best] = 0.0
    return found
