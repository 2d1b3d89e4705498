# SPDX-License-Identifier: Apache-2.0
"""Arrays to image messages."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.msg import Lesson
from std_msgs.msg import Header

from shadowtutor_ros.wire.key_frame import encode_frame, JPEG, PNG
from shadowtutor_ros.wire.masks import RLE_FORMAT
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.pixels import MONO8
from shadowtutor_ros.wire.run_lengths import encode_runs
from shadowtutor_ros.wire.update import StudentUpdate

_VIEW_QUALITY = 80  # of JPEGs that are only looked at


def image_from_array(pixels: NDArray[np.uint8], encoding: str, header: Header) -> Image:
    """Return an Image of HxW or HxWxC uint8 ``pixels`` under ``header``."""
    height, width = pixels.shape[:2]
    return Image(header=header, height=height, width=width, encoding=encoding,
                 is_bigendian=0, step=pixels.nbytes // height,
                 data=array('B', pixels.tobytes()))


def compressed_from_array(
    pixels: NDArray[np.uint8], format_: str, header: Header, quality: int = _VIEW_QUALITY,
) -> CompressedImage:
    """Return HxW uint8 class ids or an HxWx3 BGR image as jpeg or png, as image_transport does."""
    encoding = MONO8 if pixels.ndim == 2 else 'bgr8'
    return CompressedImage(
        header=header, format=f'{encoding}; {format_} compressed {encoding}',
        data=array('B', encode_frame(pixels, format_, quality).data))


def runs_from_mask(mask: NDArray[np.uint8], header: Header) -> CompressedImage:
    """Return HxW uint8 class ids as run lengths."""
    return CompressedImage(header=header, format=RLE_FORMAT, data=array('B', encode_runs(mask)))


def lesson_to_msg(
    update: StudentUpdate, frame: NDArray[np.uint8], label: NDArray[np.uint8],
    mask: NDArray[np.uint8],
) -> Lesson:
    """Return what people see of a lesson: HxWx3 BGR frame, teacher's and student's class ids."""
    header = header_to_msg(update.stamp, update.frame_id)
    return Lesson(
        header=header, stream_id=update.stream_id, sequence=update.sequence,
        version=update.version, initial_metric=update.initial_metric, metric=update.metric,
        steps=update.steps,
        **{name: CompressedImage(header=header, format=format_, data=array(
            'B', encode_frame(pixels, format_, _VIEW_QUALITY).data))
           for name, format_, pixels in (
               ('key_frame', JPEG, frame), ('label', PNG, label), ('mask', PNG, mask))})
