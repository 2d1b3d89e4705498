# SPDX-License-Identifier: Apache-2.0
"""A small labelled video that tests make themselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from shadowtutor_ros.classes import ClassSet


@dataclass(frozen=True)
class Scene:
    """A video with its labels: frames BGR HxWx3, labels HxW class ids, both also on disk."""

    frames: list[np.ndarray]
    labels: list[np.ndarray]
    video: Path
    label_maps: Path
    fps: float = 25.0

    def stamp(self, index: int) -> int:
        """Media time of a frame in nanoseconds, as replay_node stamps it."""
        return round(index * 1e9 / self.fps)


def make_scene(folder: Path, classes: ClassSet, count: int) -> Scene:
    height, width = 96, 128
    ground = np.random.default_rng(0).integers(60, 110, (height, width, 3), np.uint8)
    frames, labels = [], []
    for index, (frame, label) in enumerate(_shapes(ground, classes, count)):
        for name, picture in (('video', frame), ('labels', label)):
            path = folder / name / f'{index:04}.png'
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), picture)
        frames.append(frame)
        labels.append(label)
    return Scene(frames, labels, folder / 'video', folder / 'labels')


def _shapes(
    ground: np.ndarray, classes: ClassSet, count: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for index in range(count):
        frame = ground.copy()
        label = np.full(frame.shape[:2], classes.background, np.uint8)
        for name, colour, (x, y, w, h) in (
                ('person', (40, 40, 220), (10 + 2 * index, 20, 14, 40)),
                ('auto', (220, 160, 30), (90 - 2 * index, 60, 40, 20))):
            box = slice(y, y + h), slice(max(0, x), max(0, x + w))
            frame[box] = colour
            label[box] = classes.names.index(name)
        yield frame, label
