# SPDX-License-Identifier: Apache-2.0
"""Camera images to BGR arrays, be they recorded messages or those of a running ROS."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.picture.decode import (
    decode_picture,
    format_of,
    JPEG,
    jpeg_whole_scan,
    PICTURE_FORMATS,
)
from shadowtutor_ros.picture.header import BadHeader
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.key_frame import MAX_PIXELS

MONO8 = 'mono8'

# Channels, bytes of each and their way to BGR; 16 bits become 8 as in cv_bridge.
_BAYER = {'rggb': cv2.COLOR_BayerRGGB2BGR, 'bggr': cv2.COLOR_BayerBGGR2BGR,
          'gbrg': cv2.COLOR_BayerGBRG2BGR, 'grbg': cv2.COLOR_BayerGRBG2BGR}
_ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    'bgr8': (3, 1, None),
    'rgb8': (3, 1, cv2.COLOR_RGB2BGR),
    'bgra8': (4, 1, cv2.COLOR_BGRA2BGR),
    'rgba8': (4, 1, cv2.COLOR_RGBA2BGR),
    MONO8: (1, 1, cv2.COLOR_GRAY2BGR),
    '8UC1': (1, 1, cv2.COLOR_GRAY2BGR),
    '8UC3': (3, 1, None),
    '8UC4': (4, 1, cv2.COLOR_BGRA2BGR),
    'yuv422': (2, 1, cv2.COLOR_YUV2BGR_UYVY),
    'uyvy': (2, 1, cv2.COLOR_YUV2BGR_UYVY),
    'yuv422_yuy2': (2, 1, cv2.COLOR_YUV2BGR_YUY2),
    'yuyv': (2, 1, cv2.COLOR_YUV2BGR_YUY2),
    'bgr16': (3, 2, None),
    'rgb16': (3, 2, cv2.COLOR_RGB2BGR),
    'bgra16': (4, 2, cv2.COLOR_BGRA2BGR),
    'rgba16': (4, 2, cv2.COLOR_RGBA2BGR),
    'mono16': (1, 2, cv2.COLOR_GRAY2BGR),
    **{f'bayer_{order}{8 * size}': (1, size, conversion)
       for size in (1, 2) for order, conversion in _BAYER.items()},
}
# Of images in these compressed_image_transport exchanges red and blue if the format says so.
_COLOURS = frozenset({f'{order}{bits}' for order in ('bgr', 'rgb', 'bgra', 'rgba')
                      for bits in (8, 16)})


class ImageLike(Protocol):
    """What of a sensor_msgs/Image is read; ``data`` is a buffer of bytes."""

    encoding: str
    height: int
    width: int
    step: int
    is_bigendian: int
    data: Any


class CompressedImageLike(Protocol):
    """What of a sensor_msgs/CompressedImage is read; ``data`` is a buffer of bytes."""

    format: str
    data: Any


def image_to_bgr(image: ImageLike, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 array of a camera image, writable.

    ``is_bigendian`` counts where a channel has two bytes. Raise BadImage for an unknown encoding,
    no pixels or more than ``max_pixels``, or fewer bytes than its size needs.
    """
    if image.encoding not in _ENCODINGS:
        raise BadImage(f'encoding: expected one of {", ".join(_ENCODINGS)}, '
                       f'got {image.encoding!r}')
    channels, size, conversion = _ENCODINGS[image.encoding]
    if channels == 2 and image.width % 2:
        raise BadImage(f'{image.encoding} image: expected an even width, got {image.width}')
    pixels = _pixels(image, channels * size, max_pixels)
    if size == 2:
        wide = pixels.view('>u2' if image.is_bigendian else '<u2')
        pixels = np.rint(wide * np.float32(255 / 65535)).astype(np.uint8)
    if conversion is None:
        return np.require(pixels, requirements=['C', 'W'])
    if image.encoding.startswith('bayer') and min(image.height, image.width) < 2:
        raise BadImage(f'{image.encoding} image: expected 2x2 pixels or more, '
                       f'got {image.height}x{image.width}')
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
    Return the BGR uint8 HxWx3 array of a JPEG, PNG or WebP camera image, as it is stored.

    Its first bytes say what it is, whatever ``format`` says. From that comes only the order of
    the colours, as compressed_image_transport has it: with "rgb8; jpeg compressed rgb8" the red
    channel is first. Raise BadImage when it is anything else, the data is damaged or has more
    than ``max_pixels``.
    """
    return compressed_picture(image, max_pixels).frame()


def compressed_picture(
    image: CompressedImageLike, max_pixels: int = MAX_PIXELS,
) -> CameraPicture:
    """
    Return what ``compressed_to_bgr`` does as a picture that is decoded later.

    Raise BadImage for what can be seen before. ``jpeg`` is that of a camera: one whole scan.
    """
    data = bytes(image.data)
    if (name := format_of(data)) is None:
        raise BadImage(f'compressed image: expected {", ".join(PICTURE_FORMATS)}, got '
                       f'{len(data)} bytes that begin with {data[:4].hex() or "nothing"}, '
                       f'format {image.format!r}')
    red_first = _red_first(image.format)
    try:
        height, width = PICTURE_FORMATS[name].size(data)
        goes_on = (name == JPEG and not red_first and not jpeg_whole_scan(data).progressive)
    except BadHeader as error:
        raise BadImage(f'compressed image: {error}') from error
    if not 1 <= height * width <= max_pixels:
        raise BadImage(f'image of {height}x{width}: expected 1 to {max_pixels} pixels')
    return CameraPicture((height, width), partial(_decoded, name, data, red_first),
                         data if goes_on else None)


def _decoded(name: str, data: bytes, red_first: bool) -> NDArray[np.uint8]:
    try:
        frame = decode_picture(name, data)
    except BadHeader as error:
        raise BadImage(f'compressed image: {error}') from error
    return np.ascontiguousarray(frame[..., ::-1]) if red_first else frame


def _red_first(format_: str) -> bool:
    """Say whether what a decoder takes for blue is red."""
    encoding, _, rest = format_.partition(';')
    return encoding.strip() in _COLOURS and 'compressed rgb' in rest


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
