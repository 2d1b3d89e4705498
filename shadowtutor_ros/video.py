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
        return self._read_images() if self._images else self._read_capture()

    def _open(self) -> cv2.VideoCapture:
        capture = (cv2.VideoCapture(int(self.source)) if self.source.isdecimal()
                   else cv2.VideoCapture(str(Path(self.source).expanduser())))
        if not capture.isOpened():
            raise VideoError(f'{self.source}: not a readable video')
        return capture

    def _read_capture(self) -> Iterator[Frame]:
        capture = self._open()
        try:
            while True:
                good, frame = capture.read()
                if not good:
                    return
                yield np.asarray(frame, dtype=np.uint8)
        finally:
            capture.release()

    def _read_images(self) -> Iterator[Frame]:
        for path in self._images:
            frame = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if frame is None:
                raise VideoError(f'{path}: not a readable image')
            yield np.asarray(frame, dtype=np.uint8)


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
