# SPDX-License-Identifier: Apache-2.0
"""Camera messages to BGR arrays through cv_bridge, and arrays to Image messages."""

from __future__ import annotations

from array import array

import cv2
from cv_bridge import CvBridge
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.msg import Lesson
from std_msgs.msg import Header

from shadowtutor_ros.wire.errors import BadImage, BadKeyFrame
from shadowtutor_ros.wire.key_frame import decode_frame, encode_frame, EncodedFrame, JPEG, PNG
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.update import StudentUpdate

_BRIDGE = CvBridge()
_VIEW_QUALITY = 80  # of JPEGs that are only looked at

# Bytes per pixel of the encodings that are understood.
_PIXEL_BYTES = {'bgr8': 3, 'rgb8': 3, 'bgra8': 4, 'rgba8': 4, 'mono8': 1,
                'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2}
# The registry's cv_bridge has no YUV.
_YUV = {'yuv422': cv2.COLOR_YUV2BGR_UYVY, 'uyvy': cv2.COLOR_YUV2BGR_UYVY,
        'yuv422_yuy2': cv2.COLOR_YUV2BGR_YUY2, 'yuyv': cv2.COLOR_YUV2BGR_YUY2}


def image_to_bgr(msg: Image) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 array of a camera image.

    Raise BadImage for an unknown encoding, no pixels, or fewer bytes than its size needs.
    """
    pixel = _PIXEL_BYTES.get(msg.encoding)
    if pixel is None:
        raise BadImage(f'encoding: expected one of {", ".join(_PIXEL_BYTES)}, '
                       f'got {msg.encoding!r}')
    height, width, step, row = msg.height, msg.width, msg.step, msg.width * pixel
    if height == 0 or width == 0:
        raise BadImage(f'image of {height}x{width} has no pixels')
    if step < row or len(msg.data) < step * height:
        raise BadImage(f'{msg.encoding} image of {height}x{width}: expected rows of {row} bytes '
                       f'or more and {max(step, row) * height} bytes, '
                       f'got rows of {step} and {len(msg.data)} bytes')
    if msg.encoding in _YUV:
        if width % 2:
            raise BadImage(f'{msg.encoding} image: expected an even width, got {width}')
        rows = np.frombuffer(msg.data, np.uint8, step * height).reshape(height, step)[:, :row]
        return _uint8(cv2.cvtColor(rows.reshape(height, width, 2), _YUV[msg.encoding]))
    if step != row or len(msg.data) != step * height:
        msg = _without_padding(msg, row)
    return _uint8(_BRIDGE.imgmsg_to_cv2(msg, 'bgr8'))


def compressed_to_bgr(msg: CompressedImage) -> NDArray[np.uint8]:
    """
    Return the BGR uint8 HxWx3 array of a JPEG or PNG camera image.

    ``format`` is what image_transport writes ("bgr8; jpeg compressed bgr8", "jpeg", "png", ...).
    Raise BadImage when it is anything else or the data is damaged.
    """
    words = msg.format.lower().replace('jpg', 'jpeg')
    name = next((name for name in ('jpeg', 'png') if name in words), None)
    if name is None:
        raise BadImage(f'compressed format: expected jpeg or png, got {msg.format!r}')
    try:
        return decode_frame(EncodedFrame(name, bytes(msg.data)))
    except BadKeyFrame as error:
        raise BadImage(str(error)) from error


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
    encoding = 'mono8' if pixels.ndim == 2 else 'bgr8'
    return CompressedImage(
        header=header, format=f'{encoding}; {format_} compressed {encoding}',
        data=array('B', encode_frame(pixels, format_, quality).data))


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


def _without_padding(msg: Image, row: int) -> Image:
    """Return the image with tight rows: not every cv_bridge looks at ``step``."""
    rows = np.frombuffer(msg.data, np.uint8, msg.step * msg.height)
    tight = rows.reshape(msg.height, msg.step)[:, :row]
    return Image(header=msg.header, height=msg.height, width=msg.width, encoding=msg.encoding,
                 is_bigendian=0, step=row, data=array('B', tight.tobytes()))


def _uint8(pixels: object) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels, dtype=np.uint8)
