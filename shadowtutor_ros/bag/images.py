# SPDX-License-Identifier: Apache-2.0
"""Pixels of recorded images; ``wire/images.py`` does the same for a running ROS."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.bag.storage import MONO8
from shadowtutor_ros.wire.errors import BadImage, BadKeyFrame
from shadowtutor_ros.wire.key_frame import decode_frame, EncodedFrame

# Channels of the encodings that are understood, and their way to BGR.
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    'bgr8': (3, None),
    'rgb8': (3, cv2.COLOR_RGB2BGR),
    'bgra8': (4, cv2.COLOR_BGRA2BGR),
    'rgba8': (4, cv2.COLOR_RGBA2BGR),
    MONO8: (1, cv2.COLOR_GRAY2BGR),
    'yuv422': (2, cv2.COLOR_YUV2BGR_UYVY),
    'uyvy': (2, cv2.COLOR_YUV2BGR_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2BGR_YUY2),
    'yuyv': (2, cv2.COLOR_YUV2BGR_YUY2),
}


def frame_of(message: Any) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 frame of a recorded Image or CompressedImage.

    Raise BadImage for an unknown encoding or format, too few bytes, or damaged ones.
    """
    if not hasattr(message, 'encoding'):
        return _decompress(message)
    channels, conversion = _encoding(message.encoding)
    pixels = _pixels(message, channels)
    if conversion is None:
        return pixels
    if channels == 2 and message.width % 2:
        raise BadImage(f'{message.encoding} image: expected an even width, got {message.width}')
    return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)


def label_map_of(message: Any) -> NDArray[np.uint8]:
    """Return the HxW class ids of a recorded mono8 Image; raise BadImage for any other."""
    if message.encoding != MONO8:
        raise BadImage(f'label map: expected the encoding {MONO8}, got {message.encoding!r}')
    return _pixels(message, 1)[..., 0]


def check_label_map(
    label_map: NDArray[np.uint8], frame: NDArray[np.uint8], class_count: int,
) -> None:
    """Raise BadImage unless ``label_map`` is uint8, of the frame's size, of ids < class_count."""
    if label_map.shape != frame.shape[:2] or label_map.dtype != np.uint8:
        raise BadImage(f"expected uint8 of the frame's size {frame.shape[:2]}, "
                       f'got {label_map.dtype} {label_map.shape}')
    if label_map.max() >= class_count:
        raise BadImage(f'expected class ids 0 to {class_count - 1}, got {label_map.max()}')


def _encoding(name: str) -> tuple[int, int | None]:
    try:
        return _ENCODINGS[name]
    except KeyError:
        raise BadImage(
            f'encoding: expected one of {", ".join(_ENCODINGS)}, got {name!r}') from None


def _pixels(message: Any, channels: int) -> NDArray[np.uint8]:
    height, width, step = message.height, message.width, message.step
    row = width * channels
    if not row or not height or step < row or len(message.data) < step * height:
        raise BadImage(
            f'{message.encoding} image of {height}x{width}: expected pixels, rows of {row} bytes '
            f'or more and {max(step, row) * height} bytes, got rows of {step} and '
            f'{len(message.data)} bytes')
    rows = np.asarray(message.data[:step * height], np.uint8).reshape(height, step)[:, :row]
    return rows.copy().reshape(height, width, channels)  # the message's bytes are read-only


def _decompress(message: Any) -> NDArray[np.uint8]:
    words = message.format.lower().replace('jpg', 'jpeg')
    name = next((name for name in ('jpeg', 'png') if name in words), None)
    if name is None:
        raise BadImage(f'compressed format: expected jpeg or png, got {message.format!r}')
    try:
        return decode_frame(EncodedFrame(name, bytes(message.data)))
    except BadKeyFrame as error:
        raise BadImage(str(error)) from error
