# SPDX-License-Identifier: Apache-2.0
"""Frames from a rosbag."""

from __future__ import annotations

from collections.abc import Iterator
import itertools
from pathlib import Path

import numpy as np

from shadowtutor_ros.bag.images import frame_of
from shadowtutor_ros.bag.storage import Bag, BagError, COMPRESSED_IMAGE, IMAGE, Topic
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.video import Damage, DEFAULT_FPS, VideoError, without_gaps
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.pixels import MONO8


class BagSource:
    """
    Frames of a camera topic as recorded, BGR uint8 HxWx3; a ``video.Source``.

    ``source`` is a rosbag2 folder, a ``.mcap`` or a ``.db3`` file. ``topic`` is of Image or
    CompressedImage; empty: the only one that is not mono8, as label maps are. ``stamps`` are
    the header stamps in nanoseconds, ``fps`` follows from their median distance (DEFAULT_FPS
    for one frame), ``count`` is their number.
    """

    def __init__(self, source: str, topic: str = '') -> None:
        """Raise BagError when the bag cannot be read or has no such topic, or no image in it."""
        self.source = source
        self.damage = Damage(source)
        self._bag = Bag(Path(source).expanduser())
        self._topic = camera_topic(self._bag, topic)
        self.topic = self._topic.name
        self.stamps = self._bag.stamps(self._topic)
        if not self.stamps:
            raise BagError(f'{source}: expected images on {self.topic}, got none')
        self.fps = _fps(self.stamps)
        self.count: int | None = len(self.stamps)

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from index ``start`` on; those before are read but not decoded."""
        return without_gaps(self._items(start), start, self.damage)

    def _items(self, start: int) -> Iterator[Frame | VideoError]:
        messages = enumerate(self._bag.messages(self._topic))
        for index, (_, message) in itertools.islice(messages, start, None):
            try:
                yield frame_of(message)
            except BadImage as error:
                yield BagError(f'{self.source}: {self.topic}, message {index}: {error}')


def camera_topic(bag: Bag, name: str = '') -> Topic:
    """
    Return the topic ``name``, or without a name the only camera topic.

    Raise BagError naming all topics when that is not one image topic.
    """
    images = [t for t in bag.topics if t.type in (IMAGE, COMPRESSED_IMAGE)]
    fitting = [t for t in images if (
        t.name == name if name else t.count and t.encoding != MONO8)]
    if len(fitting) != 1:
        wanted = f'the image topic {name}' if name else 'one image topic that is not mono8'
        found = ', '.join(map(str, bag.topics)) or 'no topics'
        raise BagError(f'{bag.path}: expected {wanted}, got {found}')
    return fitting[0]


def _fps(stamps: list[int]) -> float:
    period = float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0
    # Stamps are whole nanoseconds: more digits would make 30 fps 30.0000003.
    return round(1e9 / period, 4) if period > 0 else DEFAULT_FPS
