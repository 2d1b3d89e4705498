# SPDX-License-Identifier: Apache-2.0
"""A camera's image that somebody else may decode."""

from __future__ import annotations

from collections.abc import Callable
import threading

from shadowtutor_ros.frame import check_frame, Frame


class CameraPicture:
    """
    An image of ``size`` (H, W), whose pixels are made when somebody first looks at them.

    ``jpeg``, where it is not None, is what the camera gave: these very pixels, for whoever
    decodes it as it is stored. ``read`` returns the BGR uint8 HxWx3 pixels, or raises BadImage.
    May be used from any thread.
    """

    def __init__(
        self, size: tuple[int, int], read: Callable[[], Frame], jpeg: bytes | None = None,
    ) -> None:
        self.size = size
        self.jpeg = jpeg
        self._read = read
        self._frame: Frame | None = None
        self._lock = threading.Lock()

    @classmethod
    def of(cls, frame: Frame) -> CameraPicture:
        """Return a picture with a BGR uint8 HxWx3 frame's pixels; raise BadFrame."""
        check_frame(frame)
        return cls((frame.shape[0], frame.shape[1]), lambda: frame)

    def frame(self) -> Frame:
        """Return the pixels, HxWx3, for nobody to change; raise BadImage for damaged data."""
        with self._lock:
            if self._frame is None:
                self._frame = self._read()
            return self._frame
