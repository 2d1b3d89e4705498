# SPDX-License-Identifier: Apache-2.0
"""Masks of a student back from their messages: for those who use them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.picture.header import BadHeader
from shadowtutor_ros.picture.label_map import decode_label_png
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.key_frame import MAX_PIXELS
from shadowtutor_ros.wire.pixels import class_ids_of, CompressedImageLike, ImageLike, MONO8
from shadowtutor_ros.wire.run_lengths import decode_runs

RLE_FORMAT = f'{MONO8}; rle compressed {MONO8}'


def mask_of(
    message: ImageLike | CompressedImageLike, max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """
    Return the HxW uint8 class ids of a message of ``~/mask`` or of its other forms.

    Raise BadImage for what is none, is damaged or has more than ``max_pixels``.
    """
    if not hasattr(message, 'format'):
        return class_ids_of(message, max_pixels)
    data = bytes(message.data)
    if message.format == RLE_FORMAT:
        return decode_runs(data, max_pixels)
    try:
        return decode_label_png(data, max_pixels)
    except BadHeader as error:
        raise BadImage(f'mask of the format {message.format!r}: {error}') from error
