# SPDX-License-Identifier: Apache-2.0
"""The objects that belong to a folder of label maps: a line of JSON per frame."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.whole_file import refusals_named

NAME = 'objects.jsonl'


class ObjectsFile:
    """
    ``objects.jsonl`` beside label maps: boxes, scores and the teacher's seconds per frame.

    Lines that cannot be read, as a killed writer leaves them, count as missing. Files of the
    first releases have no class ids of boxes.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._boxes: dict[int, NDArray[np.float32]] = {}
        self._scores: dict[int, NDArray[np.float32]] = {}
        self._box_ids: dict[int, NDArray[np.uint8]] = {}
        self._seconds: dict[int, float] = {}
        if self._path.is_file():
            for line in self._path.read_text('utf-8', 'replace').splitlines():
                self._take(line)

    @property
    def seconds(self) -> list[float]:
        """The teacher's time of every frame."""
        return list(self._seconds.values())

    def boxes(self, index: int) -> NDArray[np.float32] | None:
        """Return the boxes Nx4 x1, y1, x2, y2 of frame ``index``, None if it is not there."""
        return self._boxes.get(index)

    def scores(self, index: int) -> NDArray[np.float32]:
        """Return the scores of frame ``index``, which has boxes."""
        return self._scores[index]

    def box_ids(self, index: int) -> NDArray[np.uint8] | None:
        """Return the class ids of the boxes of frame ``index``, None if the file has none."""
        return self._box_ids.get(index)

    def append(self, index: int, labelling: Labelling, seconds: float) -> None:
        """Add one frame; raise CannotWrite."""
        line = json.dumps({
            'frame': index, 'seconds': seconds,
            'boxes': np.round(labelling.boxes.astype(float), 2).tolist(),
            'scores': np.round(labelling.scores.astype(float), 4).tolist(),
            **({} if labelling.box_ids is None else {'ids': labelling.box_ids.tolist()})})
        with refusals_named(self._path), self._path.open('ab+') as file:
            torn = False
            if size := file.seek(0, os.SEEK_END):
                file.seek(size - 1)
                torn = file.read(1) != b'\n'
            file.write((f'\n{line}\n' if torn else f'{line}\n').encode())
        self._take(line)

    def _take(self, line: str) -> None:
        try:
            entry = json.loads(line)
            index, seconds = int(entry['frame']), float(entry['seconds'])
            boxes = np.array(entry['boxes'], np.float32).reshape(-1, 4)
            scores = np.array(entry['scores'], np.float32).reshape(len(boxes))
            box_ids = (np.array(entry['ids'], np.uint8).reshape(len(boxes)) if 'ids' in entry
                       else None)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return
        self._boxes[index], self._scores[index], self._seconds[index] = boxes, scores, seconds
        if box_ids is not None:
            self._box_ids[index] = box_ids
