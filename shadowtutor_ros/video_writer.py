# SPDX-License-Identifier: Apache-2.0
"""Video files from frames, and whether they are whole."""

from __future__ import annotations

from pathlib import Path
import struct
from types import TracebackType

import cv2
import numpy as np

from shadowtutor_ros.file_names import BadFileName, utf8_path
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.video import VideoError

_CLOSE = 1e-4  # of a rate: OpenCV has thousandths, for which one frame in 300 s is 10 % off


class VideoWriter:
    """
    Writes BGR frames of one size as MPEG-4 video (.mp4), which every OpenCV build can.

    Odd sides get one more row or column: the codec would cut one off. The end of the context
    raises VideoError when not all frames are in the file; ``whole_file.whole`` keeps such a file
    from its name.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self._fps = fps
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Frame) -> None:
        """Append a frame; the first one sets the size. Raise VideoError if that fails."""
        if self._writer is None:
            self._shape = frame.shape
            self._writer = self._open(*self._shape[:2])
        if frame.shape != self._shape:
            raise VideoError(f'{self.path.name}: expected frames of one size, {self._shape[:2]}, '
                             f'got {frame.shape[:2]}')
        height, width = frame.shape[:2]
        self._writer.write(np.ascontiguousarray(
            np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), 'edge')))
        self._count += 1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is None:
            return
        self._writer.release()
        if error is None:
            self._finish()

    def _open(self, height: int, width: int) -> cv2.VideoWriter:
        try:
            name = utf8_path(self.path)
        except BadFileName as error:
            raise VideoError(str(error)) from error
        # MPEG-4 counts time in at most 65535 parts.
        fps = round(self._fps, 3 if self._fps < 65 else 2)
        writer = cv2.VideoWriter(
            name, cv2.VideoWriter.fourcc(*'mp4v'), max(0.001, fps),
            (width + width % 2, height + height % 2))
        if not writer.isOpened():
            raise VideoError(f'{self.path.name}: cannot be written as MPEG-4 video')
        return writer

    def _finish(self) -> None:
        """See that all frames are in the file: OpenCV tells nobody of a full disk."""
        video = cv2.VideoCapture(utf8_path(self.path))
        frames, fps = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), video.get(cv2.CAP_PROP_FPS)
        good = video.grab()
        video.release()
        if not good or frames != self._count or not _is_whole(self.path):
            raise VideoError(f'{self.path.name}: cannot be written: {max(0, frames)} of '
                             f'{self._count} frames are in it; is the disk full?')
        if abs(fps / self._fps - 1) > _CLOSE:
            _scale_time(self.path, self._fps / fps)


def _is_whole(path: Path) -> bool:
    """Say whether an MPEG-4 file's boxes end where it ends."""
    size, at = path.stat().st_size, 0
    with path.open('rb') as file:
        while at + 8 <= size:
            file.seek(at)
            length, _, long = struct.unpack('>I4sQ', file.read(16).ljust(16, b'\0'))
            at += max(8, long if length == 1 else length)
    return at == size


def _scale_time(path: Path, factor: float) -> None:
    """Let an MPEG-4 file play ``factor`` times as fast: in its clocks' ticks per second."""
    data = bytearray(path.read_bytes())
    moov = data.rindex(b'moov')
    for kind in (b'mvhd', b'mdhd'):
        at = data.index(kind, moov) + 16  # version, two dates, then the ticks
        ticks, = struct.unpack_from('>I', data, at)
        struct.pack_into('>I', data, at, max(1, round(ticks * factor)))
    path.write_bytes(data)
