# SPDX-License-Identifier: Apache-2.0
"""A video as it is evaluated: its first frames, and what identifies them."""

from __future__ import annotations

from collections.abc import Iterator
import hashlib
import itertools
import math
from pathlib import Path

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.sources import open_source


class Clip:
    """
    The first ``limit`` frames (None: all) of a video file, image folder or rosbag.

    Of them each ``every``-th, counted from 0: ``every`` 3 has frames 0, 3, 6, ... as its own 0, 1,
    2, ... at a third of ``fps``. Frame i has the stamp ``stamp(i)``. ``topic`` is as in
    ``open_source``. Raise VideoError when the video cannot be read.
    """

    def __init__(
        self, path: Path, limit: int | None = None, every: int = 1, topic: str = '',
    ) -> None:
        self.path = path
        self.name = path.name
        self.limit = limit
        self.every = every
        self.topic = topic
        self._source = open_source(str(path), topic)
        self.fps = self._source.fps / every
        count = min(filter(None, (self._source.count, limit)), default=None)
        self.expected = None if count is None else math.ceil(count / every)

    def __iter__(self) -> Iterator[Frame]:
        return itertools.islice(iter(self._source), 0, self.limit, self.every)

    @property
    def damage(self) -> str:
        """What of the video could not be read so far, in one sentence; empty for nothing."""
        return str(self._source.damage)

    def stamp(self, index: int) -> int:
        """Return the media time of frame ``index`` in nanoseconds."""
        return round(index * 1e9 / self.fps)

    def digest(self) -> str:
        """Return what identifies the content: a digest of its files, ``every``, ``topic``."""
        digest = hashlib.sha256()
        if self.every > 1:
            digest.update(f'every {self.every} '.encode())
        if self.topic:
            digest.update(f'topic {self.topic} '.encode())
        files = sorted(self.path.rglob('*')) if self.path.is_dir() else [self.path]
        for file in files:
            if file.is_file():
                digest.update(file.name.encode())
                with file.open('rb') as opened:
                    while block := opened.read(1 << 20):
                        digest.update(block)
        return digest.hexdigest()


def resample(count: int, fps: float, wanted: float) -> list[int]:
    """Return which of ``count`` frames at ``fps`` remain at ``wanted`` frames per second."""
    if wanted >= fps:
        return list(range(count))
    steps = itertools.takewhile(lambda i: i < count, (
        round(k * fps / wanted) for k in itertools.count()))
    return list(steps)
