# SPDX-License-Identifier: Apache-2.0
"""Frames from a video file, image folder, camera or rosbag, and video files from frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.errors import ShadowTutorError

Frame = NDArray[np.uint8]

IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
BAG_SUFFIXES = ('.db3', '.mcap')
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


def open_source(source: str) -> Source:
    """
    Return the frames of a rosbag (folder with metadata.yaml, .mcap, .db3) or a FrameSource.

    Raise VideoError when it cannot be read.
    """
    path = Path(source).expanduser()
    if path.suffix not in BAG_SUFFIXES and not (path / 'metadata.yaml').is_file():
        return FrameSource(source)
    try:
        from shadowtutor_ros.bag.reader import BagSource
    except ImportError as error:
        raise VideoError(f'{source}: rosbags need pip install rosbags: {error}') from error
    return BagSource(source)


class FrameSource:
    """
    Frames in order, BGR uint8 HxWx3.

    ``source`` is a video file, a folder of images (sorted by name) or a camera index as text.
    ``fps`` is the file's rate, DEFAULT_FPS for images. ``count`` is None where it is unknown.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.fps = DEFAULT_FPS
        self.count: int | None = None
        self._images: list[Path] = []
        path = Path(source).expanduser()
        if path.is_dir():
            self._images = sorted(
                p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not self._images:
                raise VideoError(f'{path}: no images ({", ".join(IMAGE_SUFFIXES)}) in the folder')
            self.count = len(self._images)
        elif path.is_file() or source.isdecimal():
            capture = self._open()
            self.fps = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS
            frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            self.count = frames if frames > 0 else None
            capture.release()
        else:
            raise VideoError(f'{source!r}: no such video file, image folder or camera index')

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Yield the frames from index ``start`` on, just as reading from the first would."""
        return self._read_images(start) if self._images else self._read_capture(start)

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

    def _read_capture(self, start: int) -> Iterator[Frame]:
        capture = self._open_at(start)
        try:
            while True:
                good, frame = capture.read()
                if not good:
                    return
                yield np.asarray(frame, dtype=np.uint8)
        finally:
            capture.release()

    def _read_images(self, start: int) -> Iterator[Frame]:
        for path in self._images[start:]:
            frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if frame is None:
                raise VideoError(f'{path}: not a readable image')
            yield np.asarray(frame, dtype=np.uint8)


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
    """Writes BGR frames of one size as MPEG-4 video, which every OpenCV build can."""

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

    def _open(self, width: int, height: int) -> cv2.VideoWriter:
        writer = cv2.VideoWriter(
            str(self.path), cv2.VideoWriter.fourcc(*'mp4v'), self._fps, (width, height))
        if not writer.isOpened():
            raise VideoError(f'{self.path}: cannot be written as MPEG-4 video')
        return writer
