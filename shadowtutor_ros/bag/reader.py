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

DEPTH_ENCODINGS = ('16UC1', '32FC1')
_FASTEST = 240.0  # frames per second that stamps are believed
_BACK = 1 / 3  # of all steps: more that do not go forward than where a few frames are swapped


class BagSource:
    """
    Frames of a camera topic as recorded, BGR uint8 HxWx3; a ``video.Source``.

    ``source`` is a rosbag2 folder, a ``.mcap`` or a ``.db3`` file. ``topic`` is of Image or
    CompressedImage; empty: the only camera. ``stamps`` are the header stamps in nanoseconds,
    ``fps`` follows from their median distance, or from the recorder's times where the stamps are
    no times, which ``damage`` says (DEFAULT_FPS for one frame); ``count`` is their number.
    """

    def __init__(self, source: str, topic: str = '') -> None:
        """Raise BagError when the bag cannot be read or has no such topic, or no image in it."""
        self.source = source
        self.damage = Damage(source)
        self._bag = Bag(Path(source).expanduser())
        self._topic = camera_topic(self._bag, topic)
        self.topic = self._topic.name
        if cut_off := self._bag.cut_off:
            self.damage.remark(f'{cut_off[0]}: its recording was cut off, reads what is whole; '
                               'mcap recover may bring more')
        times = self._bag.times(self._topic)
        self.stamps = [time.header for time in times]
        if not times:
            raise BagError(f'{source}: expected images on {self.topic}, got none')
        self.count: int | None = len(times)
        fps = _fps(self.stamps)
        if fps is None and len(times) > 1:
            fps = _fps(sorted(time.recorded for time in times))
            self.damage.remark(
                f'{source}: the header stamps of {self.topic} are no times, takes '
                f"{f'{fps:g} frames per second, as recorded' if fps else f'{DEFAULT_FPS:g} fps'}")
        self.fps = fps or DEFAULT_FPS

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

    That is one of images that are neither mono8, as label maps are, nor depth; a camera that was
    recorded raw and compressed is taken raw. Raise BagError naming the image topics when that is
    not one.
    """
    images = [t for t in bag.topics if t.type in (IMAGE, COMPRESSED_IMAGE)]
    raw = {t.name for t in images if t.type == IMAGE}
    fitting = [t for t in images if t.name == name] if name else [
        t for t in images if t.count and t.encoding not in (MONO8, *DEPTH_ENCODINGS)
        and not t.name.endswith('/compressedDepth')
        and t.name.removesuffix('/compressed') not in raw - {t.name}]
    if len(fitting) != 1:
        wanted = f'the image topic {name}' if name else 'one camera topic, not mono8 or depth'
        choices = ', '.join(map(str, images)) or 'no image topics'
        more = '; topic chooses one' if images and not name else ''
        raise BagError(f'{bag.path}: expected {wanted}, got {choices}{more}')
    return fitting[0]


def _fps(stamps: list[int]) -> float | None:
    """Return the rate of times in nanoseconds; None where they are no times of a camera."""
    if len(stamps) < 2:
        return None
    steps = np.diff(stamps)
    period = float(np.median(steps))
    if period < 1e9 / _FASTEST or np.mean(steps <= 0) > _BACK:
        return None
    # Stamps are whole nanoseconds: more digits would make 30 fps 30.0000003.
    return round(1e9 / period, 4) if period < 1e9 else 1e9 / period
