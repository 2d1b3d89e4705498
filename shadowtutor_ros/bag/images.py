# SPDX-License-Identifier: Apache-2.0
"""Pixels of recorded images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.classes import largest_id, UNLABELLED
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.pixels import class_ids_of, compressed_to_bgr, image_to_bgr

MAX_PIXELS = 1 << 26  # beyond any camera: a recording is one's own, and nothing is trained here


def frame_of(message: Any) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 frame of a recorded Image or CompressedImage.

    Raise BadImage for an unknown encoding or format, too few bytes, or damaged ones.
    """
    convert = image_to_bgr if hasattr(message, 'encoding') else compressed_to_bgr
    return convert(message, MAX_PIXELS)


def label_map_of(message: Any) -> NDArray[np.uint8]:
    """Return the HxW class ids of a recorded mono8 Image; raise BadImage for any other."""
    return class_ids_of(message, MAX_PIXELS)


def check_label_map(
    label_map: NDArray[np.uint8], frame: NDArray[np.uint8], class_count: int,
) -> None:
    """
    Raise BadImage unless ``label_map`` is uint8, of the frame's size, of known class ids.

    These are below ``class_count``, or UNLABELLED.
    """
    if label_map.shape != frame.shape[:2] or label_map.dtype != np.uint8:
        raise BadImage(f"expected uint8 of the frame's size {frame.shape[:2]}, "
                       f'got {label_map.dtype} {label_map.shape}')
    if (largest := largest_id(label_map)) >= class_count:
        raise BadImage(f'expected class ids 0 to {class_count - 1}, got {largest} '
                       f'({UNLABELLED} is no label)')
