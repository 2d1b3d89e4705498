# SPDX-License-Identifier: Apache-2.0
"""Camera images to BGR arrays, be they recorded messages or those of a running ROS."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.wire.errors import BadImage, BadKeyFrame
from shadowtutor_ros.wire.key_frame import decode_frame, EncodedFrame, JPEG, MAX_PIXELS, PNG

MONO8 = 'mono8'

# Bytes per pixel of the encodings that are understood, and their way to BGR.
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


class ImageLike(Protocol):
    """What of a sensor_msgs/Image is read; ``data`` is a buffer of bytes."""

    encoding: str
    height: int
    width: int
    step: int
    data: Any


class CompressedImageLike(Protocol):
    """What of a sensor_msgs/CompressedImage is read; ``data`` is a buffer of bytes."""

    format: str
    data: Any


def image_to_bgr(image: ImageLike, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 array of a camera image, writable.

    Raise BadImage for an unknown encoding, no pixels or more than ``max_pixels``, or fewer
    bytes than its size needs.
    """
    if image.encoding not in _ENCODINGS:
        raise BadImage(f'encoding: expected one of {", ".join(_ENCODINGS)}, '
                       f'got {image.encoding!r}')
    channels, conversion = _ENCODINGS[image.encoding]
    if channels == 2 and image.width % 2:
        raise BadImage(f'{image.encoding} image: expected an even width, got {image.width}')
    pixels = _pixels(image, channels, max_pixels)
    if conversion is None:
        return np.require(pixels, requirements=['C', 'W'])
    return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)


def class_ids_of(image: ImageLike, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return the HxW class ids of a mono8 image; raise BadImage for any other."""
    if image.encoding != MONO8:
        raise BadImage(f'label map: expected the encoding {MONO8}, got {image.encoding!r}')
    return np.require(_pixels(image, 1, max_pixels)[..., 0], requirements=['C', 'W'])


def compressed_to_bgr(
    image: CompressedImageLike, max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 array of a JPEG or PNG camera image.

    ``format`` is what image_transport writes ("bgr8; jpeg compressed bgr8", "jpeg", "png", ...).
    Raise BadImage when it is anything else, the data is damaged or has more than ``max_pixels``.
    """
    words = image.format.lower().replace('jpg', JPEG)
    name = next((name for name in (JPEG, PNG) if name in words), None)
    if name is None:
        raise BadImage(f'compressed format: expected jpeg or png, got {image.format!r}')
    try:
        return decode_frame(EncodedFrame(name, bytes(image.data)), max_pixels)
    except BadKeyFrame as error:
        raise BadImage(str(error)) from error


def _pixels(image: ImageLike, channels: int, max_pixels: int) -> NDArray[np.uint8]:
    """Return the HxWxC pixels where they lie, rows' padding left out."""
    height, width, step, row = image.height, image.width, image.step, image.width * channels
    if not 1 <= height * width <= max_pixels:
        raise BadImage(f'image of {height}x{width}: expected 1 to {max_pixels} pixels')
    if step < row or len(image.data) < step * height:
        raise BadImage(f'{image.encoding} image of {height}x{width}: expected rows of {row} '
                       f'bytes or more and {max(step, row) * height} bytes, '
                       f'got rows of {step} and {len(image.data)} bytes')
    rows = np.frombuffer(image.data, np.uint8, step * height).reshape(height, step)[:, :row]
    return rows.reshape(height, width, channels)
