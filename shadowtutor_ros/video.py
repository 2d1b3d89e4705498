# SPDX-License-Identifier: Apache-2.0
"""Frames from a folder of images, a video file or a camera."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.file_names import BadFileName, utf8_path, visible_files
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.picture.decode import decode_image_file
from shadowtutor_ros.picture.header import BadHeader

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
DEFAULT_FPS = 25.0

_FASTEST = 240.0  # frames per second that are believed: above are clocks, as 1000 or 90000
_TIMES = 100  # frames whose times are looked at
_GRABS = 50  # behind one that cannot be read


class VideoError(ShadowTutorError):
    """A video cannot be read or written."""


class Damage:
    """What is wrong with a source, as far as it was read; as text, empty for nothing."""

    def __init__(self, source: str) -> None:
        self.frames: set[int] = set()
        self._source = source
        self._reason = ''
        self._end = ''
        self._remark = ''

    def add(self, index: int, error: VideoError) -> None:
        """Note that frame ``index`` cannot be read."""
        self._reason = self._reason or str(error)
        self.frames.add(index)

    def ended(self, after: int, expected: int) -> None:
        """Note that the source ended before the number of frames that it says it has."""
        self._end = f'{self._source}: ends after {after} of {expected} frames'

    def remark(self, text: str) -> None:
        """Note what else is not as it should be."""
        self._remark = '; '.join(filter(None, (self._remark, text)))

    def __str__(self) -> str:
        count = len(self.frames)
        frames = (f'{self._source}: {count} damaged frame{"s" * (count > 1)}, '
                  f'the first is {min(self.frames)}: {self._reason}' if count else '')
        return '; '.join(filter(None, (self._remark, frames, self._end)))


class Source(Protocol):
    """
    Frames in order, BGR uint8 HxWx3, at ``fps``; ``count`` is None where it is unknown.

    In place of a damaged frame stands the one before it, at the beginning the one after it, so
    that frames and stamps stay together; ``damage`` has which.
    """

    source: str
    fps: float
    count: int | None
    damage: Damage

    def __iter__(self) -> Iterator[Frame]: ...

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from ``start`` on; raise VideoError when none can be read."""
        ...


def without_gaps(
    items: Iterable[Frame | VideoError], start: int, damage: Damage,
) -> Iterator[Frame]:
    """Yield the frames from index ``start`` on as Source says, where ``items`` has errors."""
    frame: Frame | None = None
    missing: list[VideoError] = []  # before the first frame
    for index, item in enumerate(items, start):
        if not isinstance(item, VideoError):
            frame = item
            yield from (frame.copy() for _ in missing)
            missing = []
            yield frame
            continue
        damage.add(index, item)
        if frame is None:
            missing.append(item)
        else:
            yield frame.copy()
    if missing:
        raise missing[0]


class ImageFolder:
    """The images of a folder in the natural order of their names, at DEFAULT_FPS; a Source."""

    def __init__(self, source: str) -> None:
        """Raise VideoError when there is no image in it."""
        self.source = source
        self.fps = DEFAULT_FPS
        self.damage = Damage(source)
        path = Path(source).expanduser()
        self._images = visible_files(path, IMAGE_SUFFIXES)
        if not self._images:
            raise VideoError(f'{path}: no images ({", ".join(IMAGE_SUFFIXES)}) in the folder')
        self.count: int | None = len(self._images)

    @staticmethod
    def fits(source: str) -> bool:
        """Say whether ``source`` names a folder."""
        return Path(source).expanduser().is_dir()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return without_gaps(map(_read_image, self._images[start:]), start, self.damage)


def _read_image(path: Path) -> Frame | VideoError:
    try:
        return decode_image_file(path.read_bytes())
    except (BadHeader, OSError) as error:
        return VideoError(f'{path}: not a readable image: {error}')


class Capture:
    """
    A video file, or a camera by its index or device; a Source.

    ``fps`` is what the file says, or follows from the times of its frames where that is no rate of
    a camera: browsers write none.
    """

    def __init__(self, source: str) -> None:
        """Raise VideoError when OpenCV cannot open it."""
        self.source = source
        self.damage = Damage(source)
        self._is_file = Path(source).expanduser().is_file() and not source.isdecimal()
        capture = self._open()
        self.fps = rate_of(capture, self._is_file)
        frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count: int | None = frames if frames > 0 else None
        capture.release()

    @staticmethod
    def fits(source: str) -> bool:
        """Say whether ``source`` names a file or device or is the index of a camera."""
        path = Path(source).expanduser()
        return path.is_file() or path.is_char_device() or source.isdecimal()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from index ``start`` on, just as reading from the first would."""
        capture, index = self._open_at(start)
        try:
            yield from without_gaps(self._items(capture, index, start), start, self.damage)
        finally:
            capture.release()

    def _items(
        self, capture: cv2.VideoCapture, index: int, start: int,
    ) -> Iterator[Frame | VideoError]:
        """Yield what is from ``start`` on of a video that is open before frame ``index``."""
        broken = VideoError(f'{self.source}: not a readable frame')
        while (lost := self._grab(capture)) is not None:
            for _ in range(max(0, index + lost - max(index, start))):
                yield broken
            index += lost
            if index >= start:
                good, frame = capture.retrieve()
                yield np.asarray(frame, dtype=np.uint8) if good else broken
            index += 1
        # One off is how a container counts that knows its length only.
        if self.count is not None and index < self.count - (not self.damage.frames):
            self.damage.ended(index, self.count)

    def _grab(self, capture: cv2.VideoCapture) -> int | None:
        """Go on to the next frame; return how many before it cannot be read, None at the end."""
        for lost in range(_GRABS if self._is_file else 1):
            if capture.grab():
                return lost
        return None

    def _open(self) -> cv2.VideoCapture:
        if self.source.isdecimal():
            capture = cv2.VideoCapture(int(self.source))
        else:
            try:
                capture = cv2.VideoCapture(utf8_path(Path(self.source)))
            except BadFileName as error:
                raise VideoError(str(error)) from error
        if not capture.isOpened():
            raise VideoError(f'{self.source}: not a readable video')
        return capture

    def _open_at(self, index: int) -> tuple[cv2.VideoCapture, int]:
        """Return the video, and before which frame, ``index`` or an earlier one, it is open."""
        capture = self._open()
        if index == 0:
            return capture, 0
        capture.set(cv2.CAP_PROP_POS_FRAMES, index - 1)
        if capture.grab():
            found = capture.get(cv2.CAP_PROP_POS_MSEC) * self.fps / 1000
            if abs(found - (index - 1)) < 0.5:
                return capture, index
        # Without an index in the file, or with frames of unequal length, a jump may go wrong.
        capture.release()
        return self._open(), 0


def rate_of(capture: cv2.VideoCapture, is_file: bool) -> float:
    """Return frames per second; of a file whose frames are looked at, ``capture`` is moved."""
    said = float(capture.get(cv2.CAP_PROP_FPS))
    if 0 < said <= _FASTEST:
        return said
    times: list[float] = []
    while is_file and len(times) < _TIMES and capture.grab():
        times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    if len(times) > 1 and times[-1] > times[0]:
        return round(1000 * (len(times) - 1) / (times[-1] - times[0]), 4)
    return DEFAULT_FPS


_NOWHERE = -2  # no frame comes after it


class FrameReader:
    """Reads single frames of a source by index; in order it does not seek."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._frames: Iterator[Frame] = iter(())
        self._index = _NOWHERE  # of the frame that was read last
        self._frame: Frame | None = None

    def read(self, index: int) -> Frame | None:
        """
        Return frame ``index``, None beyond the end; the last one again without reading.

        Raise VideoError when it cannot be read.
        """
        if index != self._index:
            if index != self._index + 1:
                self._frames = self._source.frames(index)
            self._index = _NOWHERE  # if this fails
            self._frame = next(self._frames, None)
            self._index = index
        return self._frame
