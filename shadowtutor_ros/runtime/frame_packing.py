# SPDX-License-Identifier: Apache-2.0
"""How frames travel to a device nearby: as they are where that is faster than a picture."""

from __future__ import annotations

import time

from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.key_frame import encode_frame, EncodedFrame, FRAME_FORMATS, JPEG, RAW

AUTO = 'auto'
SHARE_FORMATS = (AUTO, *FRAME_FORMATS)


class FramePacking:
    """
    Packs the frames for one device.

    ``format`` is one of SHARE_FORMATS. With AUTO a camera's JPEG goes on as it is; other frames
    are JPEGs, or raw while the path's goodput makes up for what JPEGs take to be made and, about
    as long, to be read. ``quality`` (1-100) is that of lossy formats.
    """

    def __init__(self, format: str, quality: int) -> None:
        if format not in SHARE_FORMATS:
            raise ValueError(
                f'share_format: expected one of {", ".join(SHARE_FORMATS)}, got {format!r}')
        self._format = format
        self._quality = quality
        self._size = self._seconds = 0.0  # of a byte of a frame, as a JPEG

    def pack(self, picture: CameraPicture, path: PathEstimate) -> EncodedFrame:
        """Return a picture as it travels; raise BadKeyFrame or BadImage."""
        if self._format == AUTO and picture.jpeg is not None:
            return EncodedFrame(JPEG, picture.jpeg)
        frame = picture.frame()
        if self._format != AUTO:
            return encode_frame(frame, self._format, self._quality)
        if path.goodput and self._size and self._raw_is_faster(path.goodput):
            return encode_frame(frame, RAW)
        started = time.perf_counter()
        encoded = encode_frame(frame, JPEG, self._quality)
        self._seconds = (time.perf_counter() - started) / frame.nbytes
        self._size = len(encoded.data) / frame.nbytes
        return encoded

    def _raw_is_faster(self, goodput: float) -> bool:
        return 1 / goodput < self._size / goodput + 2 * self._seconds
