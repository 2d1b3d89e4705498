# SPDX-License-Identifier: Apache-2.0
"""Random parts of a labelled picture, distorted as cameras and codecs do."""

from __future__ import annotations

from dataclasses import dataclass
import math

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.teacher.protocol import Labelling

Picture = NDArray[np.float32]


@dataclass(frozen=True)
class CropSettings:
    """
    How crops are taken.

    A crop is ``height`` x ``width`` pixels of a picture whose shorter side is scaled to
    ``short_side`` times a factor in ``zoom``; ``on_objects`` of them (0-1) have an object near
    their centre.
    """

    height: int = 256
    width: int = 384
    short_side: int = 480
    zoom: tuple[float, float] = (0.54, 1.5)
    on_objects: float = 0.7

    def __post_init__(self) -> None:
        for name in ('height', 'width', 'short_side'):
            if getattr(self, name) < 1:
                raise ValueError(f'{name}: expected 1 or more, got {getattr(self, name)}')
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f'zoom: expected two rising numbers above 0, got {self.zoom}')
        if not 0 <= self.on_objects <= 1:
            raise ValueError(f'on_objects: expected 0 to 1, got {self.on_objects}')


def random_crop(
    frame: Frame, labelling: Labelling, settings: CropSettings, random: Generator,
) -> tuple[Frame, Labelling]:
    """Return a crop of a BGR uint8 HxWx3 picture with its labelling, changed at ``random``."""
    x, y, width, height = _window(frame, labelling, settings, random)
    size = (settings.width, settings.height)
    part = np.s_[y:y + height, x:x + width]
    shrinks = width > settings.width
    crop = cv2.resize(frame[part], size,
                      interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    class_ids = cv2.resize(labelling.class_ids[part], size, interpolation=cv2.INTER_NEAREST)
    across, down = settings.width / width, settings.height / height
    boxes = (labelling.boxes - (x, y, x, y)) * (across, down, across, down)
    boxes = boxes.clip(0, (*size, *size)).astype(np.float32)
    if random.random() < 0.5:
        crop, class_ids = crop[:, ::-1], class_ids[:, ::-1]
        boxes = np.stack((size[0] - boxes[:, 2], boxes[:, 1], size[0] - boxes[:, 0], boxes[:, 3]),
                         1)
    seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return (_distorted(np.ascontiguousarray(crop), random),
            Labelling(np.ascontiguousarray(class_ids), boxes[seen], labelling.scores[seen],
                      None if labelling.box_ids is None else labelling.box_ids[seen]))


def _window(
    frame: Frame, labelling: Labelling, settings: CropSettings, random: Generator,
) -> tuple[int, int, int, int]:
    """Return x, y, width, height of the part of the picture that becomes the crop."""
    rows, columns = frame.shape[:2]
    zoom = math.exp(random.uniform(*np.log(settings.zoom)))
    scale = settings.short_side * zoom / min(rows, columns)
    # Wider or narrower by up to a seventh, and never more than there is.
    stretch = math.exp(random.uniform(-0.15, 0.15))
    width, height = settings.width / scale * stretch, settings.height / scale
    shrink = min(1.0, columns / width, rows / height)
    width, height = max(1, round(width * shrink)), max(1, round(height * shrink))
    x, y = random.uniform(0, columns - width), random.uniform(0, rows - height)
    if len(labelling.boxes) and random.random() < settings.on_objects:
        left, top, right, bottom = random.choice(labelling.boxes)
        x = random.uniform(left, right) - width * random.uniform(0.25, 0.75)
        y = random.uniform(top, bottom) - height * random.uniform(0.25, 0.75)
    return (round(min(max(x, 0), columns - width)), round(min(max(y, 0), rows - height)),
            width, height)


def _distorted(crop: Frame, random: Generator) -> Frame:
    """Return the crop in another light, perhaps blurred, noisy or through a JPEG."""
    picture = crop.astype(np.float32)
    if random.random() < 0.8:
        picture = _in_another_light(picture, random)
    if random.random() < 0.2:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), random.uniform(0.4, 1.6)),
                             np.float32)
    if random.random() < 0.2:
        picture += random.normal(0, random.uniform(1, 8), picture.shape).astype(np.float32)
    pixels = picture.clip(0, 255).astype(np.uint8)
    if random.random() < 0.3:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 95))]
        pixels = np.asarray(cv2.imdecode(
            cv2.imencode('.jpg', pixels, quality)[1], cv2.IMREAD_COLOR), np.uint8)
    return pixels


def _in_another_light(picture: Picture, random: Generator) -> Picture:
    grey = picture.mean(2, keepdims=True)
    saturation = 0.0 if random.random() < 0.05 else random.uniform(0.5, 1.5)
    tint = random.uniform(0.85, 1.15, 3)
    contrast, brightness = random.uniform(0.6, 1.4), random.uniform(-32, 32)
    mean = grey.mean()
    coloured = (grey + (picture - grey) * saturation) * tint
    return np.asarray((coloured - mean) * contrast + mean + brightness, np.float32)
