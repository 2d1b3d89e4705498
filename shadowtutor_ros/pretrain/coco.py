# SPDX-License-Identifier: Apache-2.0
"""Pictures with annotations in COCO's format: polygons, run lengths, categories by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.picture.decode import decode_image_file
from shadowtutor_ros.picture.header import BadHeader
from shadowtutor_ros.pretrain.footage import Footage
from shadowtutor_ros.teacher.protocol import Labelling

Mask = NDArray[np.uint8]

_FARTHEST = 1e6  # pixels: what is farther away is no corner of an object


class CocoError(ShadowTutorError):
    """Annotations cannot be read, contradict themselves, or do not fit their pictures."""


@dataclass(frozen=True)
class Instance:
    """One object of a picture: its class id, and its ``segmentation`` as the file has it."""

    number: int
    class_id: int
    segmentation: Any
    crowd: bool
    area: float


@dataclass(frozen=True)
class CocoPicture:
    """A picture of ``size`` (H, W) and its objects, drawn when it is read; a Sample."""

    path: Path
    size: tuple[int, int]
    instances: Sequence[Instance]
    background: int

    def read(self) -> tuple[Frame, Labelling]:
        """
        Return picture and labelling; what is smaller lies on top, a crowd below all else.

        Raise CocoError for a picture or segmentation that is damaged or of another size.
        """
        try:
            image = decode_image_file(self.path.read_bytes())
        except (BadHeader, OSError) as error:
            raise CocoError(f'{self.path}: expected an image of {self.size}, '
                            f'got an unreadable file: {error}') from error
        if image.shape[:2] != self.size:
            raise CocoError(f'{self.path}: expected an image of {self.size}, '
                            f'got {image.shape[:2]}')
        class_ids = np.full(self.size, self.background, np.uint8)
        boxes, box_ids = [], []
        for instance in sorted(self.instances, key=lambda each: (not each.crowd, -each.area)):
            try:
                mask = decode(instance.segmentation, self.size)
            except (ValueError, TypeError, KeyError, OverflowError) as error:
                raise CocoError(
                    f'{self.path}: annotation {instance.number}: {error!r}') from error
            if mask.any():
                class_ids[mask > 0] = instance.class_id
                x, y, w, h = cv2.boundingRect(mask)
                boxes.append((x, y, x + w, y + h))
                box_ids.append(instance.class_id)
        return (image,
                Labelling(class_ids, np.array(boxes, np.float32).reshape(-1, 4),
                          np.ones(len(boxes), np.float32), np.array(box_ids, np.uint8)))


def read_coco(images: Path, annotations: Path, classes: ClassSet) -> Footage:
    """
    Return the pictures of a folder with their annotations, named as the annotations' file is.

    A category is the class of that name or the class that has it among its COCO names; others
    are background. Raise CocoError for a file that is damaged, no known category, or missing
    pictures.
    """
    try:
        data = json.loads(annotations.read_text(encoding='utf-8'))
        class_of = _class_ids(data['categories'], classes)
        instances: defaultdict[int, list[Instance]] = defaultdict(list)
        for entry in data['annotations']:
            if (class_id := class_of[entry['category_id']]) != classes.background:
                instances[entry['image_id']].append(Instance(
                    int(entry['id']), class_id, entry['segmentation'],
                    bool(entry.get('iscrowd', 0)), float(entry.get('area', 0))))
        pictures = [
            CocoPicture(images / entry['file_name'], (int(entry['height']), int(entry['width'])),
                        instances[entry['id']], classes.background)
            for entry in data['images']]
        missing = [picture.path for picture in pictures if not picture.path.is_file()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError,
            RecursionError) as error:
        raise CocoError(
            f'{annotations}: expected annotations in COCO format: {error!r}') from error
    if not any(picture.instances for picture in pictures):
        raise CocoError(f'{annotations}: expected objects of {", ".join(classes.names[:-1])}, '
                        f'there are none in {len(pictures)} pictures')
    if missing:
        raise CocoError(f'{annotations}: {len(missing)} of {len(pictures)} pictures are missing, '
                        f'for example {missing[0]}')
    return Footage(annotations.stem, pictures)


def decode(segmentation: Any, size: tuple[int, int]) -> Mask:
    """
    Return the HxW mask, 0 or 1, of COCO polygons, run lengths or packed run lengths.

    Raise ValueError, TypeError, KeyError or OverflowError for anything else.
    """
    if isinstance(segmentation, Mapping):
        if tuple(segmentation['size']) != size:
            raise ValueError(f'expected run lengths of size {size}, got {segmentation["size"]}')
        counts = segmentation['counts']
        return _from_runs(_unpack(counts) if isinstance(counts, str) else counts, size)
    mask = np.zeros(size, np.uint8)
    for polygon in segmentation:
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        if not (np.abs(points) < _FARTHEST).all():  # NaN is not, either
            raise ValueError(f'expected points within {_FARTHEST:g} pixels')
        if not len(points):
            raise ValueError('expected a polygon, got no points')
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1)
    return mask


def _class_ids(categories: Sequence[Mapping[str, Any]], classes: ClassSet) -> dict[int, int]:
    own = {name: index for index, name in enumerate(classes.names)}
    return {category['id']: classes.coco.get(
                category['name'], own.get(category['name'], classes.background))
            for category in categories}


def _from_runs(counts: Sequence[int], size: tuple[int, int]) -> Mask:
    """Return the mask whose columns, one below the other, are runs of zeros and ones in turn."""
    runs, pixels = np.asarray(counts, np.int64), size[0] * size[1]
    if runs.ndim != 1 or not ((runs >= 0) & (runs <= pixels)).all() or runs.sum() != pixels:
        raise ValueError(f'expected run lengths of {pixels} pixels together, got {runs.sum()}')
    values = (np.arange(len(runs)) % 2).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(values, runs).reshape(size[1], size[0]).T)


def _unpack(packed: str) -> list[int]:
    """Return the run lengths in COCO's packed text: 5 bits a character, signed, differences."""
    counts: list[int] = []
    value = shift = 0
    for character in packed:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f'expected packed run lengths, got the character {character!r}')
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts
