# SPDX-License-Identifier: Apache-2.0
"""A video as it is evaluated: its first frames, and what identifies them."""

from __future__ import annotations

from collections.abc import Iterator
import hashlib
import itertools
from pathlib import Path

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.sources import open_source


class Clip:
    """
    The first ``limit`` frames (None: all) of a video file, image folder or rosbag.

    Frame i has the stamp ``stamp(i)``. Raise VideoError when the video cannot be read.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.path = path
        self.name = path.name
        self.limit = limit
        self._source = open_source(str(path))
        self.fps = self._source.fps
        self.expected = min(filter(None, (self._source.count, limit)), default=None)

    def __iter__(self) -> Iterator[Frame]:
        return itertools.islice(iter(self._source), self.limit)

    def stamp(self, index: int) -> int:
        """Return the media time of frame ``index`` in nanoseconds."""
        return round(index * 1e9 / self.fps)

    def digest(self) -> str:
        """Return what identifies the content: a digest of all its files."""
        digest = hashlib.sha256()
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
