# SPDX-License-Identifier: Apache-2.0
"""Frames from a folder of images, a video file or a camera, and video files from frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import struct
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.frame import Frame

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
DEFAULT_FPS = 25.0


class VideoError(ShadowTutorError):
    """A video cannot be read or written."""


class Source(Protocol):
    """Frames in order, BGR uint8 HxWx3, at ``fps``; ``count`` is None where it is unknown."""

    source: str
    fps: float
    count: int | None

    def __iter__(self) -> Iterator[Frame]: ...

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from index ``start`` on."""
        ...


class ImageFolder:
    """The images of a folder, sorted by name, at DEFAULT_FPS; a Source."""

    def __init__(self, source: str) -> None:
        """Raise VideoError when there is no image in it."""
        self.source = source
        self.fps = DEFAULT_FPS
        path = Path(source).expanduser()
        self._images = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
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
        """Yield the frames from index ``start`` on; raise VideoError at an unreadable one."""
        for path in self._images[start:]:
            frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if frame is None:
                raise VideoError(f'{path}: not a readable image')
            yield np.asarray(frame, dtype=np.uint8)


class Capture:
    """A video file, or a camera by its index as text; ``fps`` is what it says. A Source."""

    def __init__(self, source: str) -> None:
        """Raise VideoError when OpenCV cannot open it."""
        self.source = source
        capture = self._open()
        self.fps: float = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS
        frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count: int | None = frames if frames > 0 else None
        capture.release()

    @staticmethod
    def fits(source: str) -> bool:
        """Say whether ``source`` names a file or is the index of a camera."""
        return Path(source).expanduser().is_file() or source.isdecimal()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from index ``start`` on, just as reading from the first would."""
        capture = self._open_at(start)
        try:
            while True:
                good, frame = capture.read()
                if not good:
                    return
                yield np.asarray(frame, dtype=np.uint8)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = (cv2.VideoCapture(int(self.source)) if self.source.isdecimal()
                   else cv2.VideoCapture(str(Path(self.source).expanduser())))
        if not capture.isOpened():
            raise VideoError(f'{self.source}: not a readable video')
        return capture

    def _open_at(self, index: int) -> cv2.VideoCapture:
        """Return the video before frame ``index``, counted from the start."""
        capture = self._open()
        if index == 0:
            return capture
        capture.set(cv2.CAP_PROP_POS_FRAMES, index - 1)
        if capture.grab():
            found = capture.get(cv2.CAP_PROP_POS_MSEC) * self.fps / 1000
            if abs(found - (index - 1)) < 0.5:
                return capture
        # Without an index in the file, or with frames of unequal length, a jump may go wrong.
        capture.release()
        capture = self._open()
        for _ in range(index):
            capture.grab()
        return capture


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


class VideoWriter:
    """
    Writes BGR frames of one size as MPEG-4 video, which every OpenCV build can.

    Used as a context manager: its end raises VideoError when the file is not whole.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self._fps = fps
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Frame) -> None:
        """Append a frame; the first one sets the size. Raise VideoError if that fails."""
        if self._writer is None:
            self._writer = self._open(frame.shape[1], frame.shape[0])
        self._writer.write(frame)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.release()
            if error is None and not _is_whole_mp4(self.path):
                raise VideoError(f'{self.path.name}: could not be written whole; '
                                 'is the disk full?')

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        writer = cv2.VideoWriter(
            str(self.path), cv2.VideoWriter.fourcc(*'mp4v'), self._fps, (width, height))
        if not writer.isOpened():
            raise VideoError(f'{self.path.name}: cannot be written as MPEG-4 video')
        return writer


def _is_whole_mp4(path: Path) -> bool:
    """Say whether a file's boxes have an index among them and end where it ends."""
    size, at, kinds = path.stat().st_size, 0, set()
    with path.open('rb') as file:  # OpenCV does not say when a write fails
        while at + 8 <= size:
            file.seek(at)
            length, kind, long = struct.unpack('>I4sQ', file.read(16).ljust(16, b'\0'))
            kinds.add(kind)
            at += max(8, long if length == 1 else length)
    return at == size and b'moov' in kinds
