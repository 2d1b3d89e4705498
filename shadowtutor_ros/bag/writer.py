# SPDX-License-Identifier: Apache-2.0
"""A rosbag from frames and their label maps."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer

from shadowtutor_ros.bag.images import check_label_map
from shadowtutor_ros.bag.output import new_output
from shadowtutor_ros.bag.storage import BagError, COMPRESSED_IMAGE, IMAGE, TYPES
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.key_frame import encode_frame, JPEG
from shadowtutor_ros.wire.pixels import MONO8

IMAGE_TOPIC = '/camera/image_raw'
COMPRESSED_TOPIC = '/camera/image_raw/compressed'
INFO_TOPIC = '/camera/camera_info'
LABELS_TOPIC = '/camera/labels'

# Humble reads QoS profiles as version 8 writes them; every later distribution does too.
_METADATA_VERSION: Final = 8
_UNSPECIFIED = QosTime(0, 0)
_RELIABLE = Qos(QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, QosDurability.VOLATILE,
                _UNSPECIFIED, _UNSPECIFIED, QosLiveliness.AUTOMATIC, _UNSPECIFIED, False)
_INFO = 'sensor_msgs/msg/CameraInfo'
_HEADER, _TIME = TYPES.types['std_msgs/msg/Header'], TYPES.types['builtin_interfaces/msg/Time']
_REGION = TYPES.types['sensor_msgs/msg/RegionOfInterest']


def write_bag(
    path: Path,
    frames: Iterable[Frame],
    fps: float,
    labels: Iterable[NDArray[np.uint8]] | None = None,
    *,
    class_count: int = 256,
    compressed: bool = False,
    jpeg_quality: int = 90,
    frame_id: str = 'camera',
    start: int = 0,
) -> int:
    """
    Write BGR uint8 HxWx3 frames as the rosbag2 folder ``path`` (mcap); return their number.

    Frame k is stamped ``start`` + k / ``fps`` in nanoseconds, in its header as in the bag.
    ``labels`` are uint8 HxW class ids below ``class_count``, one map per frame. ``compressed``
    writes JPEG. The camera_info has the frames' size; its calibration is a guess, a pinhole
    without distortion whose focal length is the width. Raise BagError, leaving nothing, when
    the output exists or cannot be written or a label map does not fit.
    """
    label_maps = None if labels is None else iter(labels)
    count = 0
    with new_output(path) as part, Writer(
            part, version=_METADATA_VERSION, storage_plugin=StoragePlugin.MCAP) as writer:
        recorder = _Recorder(writer, frame_id)
        for frame in frames:
            recorder.stamp = start + round(count * 1e9 / fps)
            if compressed:
                recorder.compressed(frame, jpeg_quality)
            else:
                recorder.image(IMAGE_TOPIC, frame, 'bgr8')
            recorder.info(*frame.shape[:2])
            if label_maps is not None:
                label_map = _checked(path, count, next(label_maps, None), frame, class_count)
                recorder.image(LABELS_TOPIC, label_map, MONO8)
            count += 1
        if not count:
            raise BagError(f'{path}: expected frames to write, got none')
    return count


class _Recorder:
    """Serializes messages under one stamp into a bag."""

    def __init__(self, writer: Writer, frame_id: str) -> None:
        self.stamp = 0
        self._writer = writer
        self._frame_id = frame_id
        self._connections: dict[str, Any] = {}

    def image(self, topic: str, pixels: NDArray[np.uint8], encoding: str) -> None:
        height, width = pixels.shape[:2]
        self._write(topic, IMAGE, height=height, width=width, encoding=encoding, is_bigendian=0,
                    step=pixels.nbytes // height, data=np.ascontiguousarray(pixels).reshape(-1))

    def compressed(self, frame: Frame, quality: int) -> None:
        data = np.frombuffer(encode_frame(frame, JPEG, quality).data, np.uint8)
        self._write(COMPRESSED_TOPIC, COMPRESSED_IMAGE,
                    format='bgr8; jpeg compressed bgr8', data=data)

    def info(self, height: int, width: int) -> None:
        k = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float64)
        self._write(
            INFO_TOPIC, _INFO, height=height, width=width, distortion_model='plumb_bob',
            d=np.zeros(5), k=k.reshape(-1), r=np.eye(3).reshape(-1),
            p=np.hstack((k, np.zeros((3, 1)))).reshape(-1), binning_x=0, binning_y=0,
            roi=_REGION(0, 0, 0, 0, False))

    def _write(self, topic: str, type_: str, **fields: Any) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, type_, typestore=TYPES, offered_qos_profiles=[_RELIABLE])
        header = _HEADER(_TIME(*divmod(self.stamp, 1_000_000_000)), self._frame_id)
        data = TYPES.serialize_cdr(TYPES.types[type_](header=header, **fields), type_)
        self._writer.write(self._connections[topic], self.stamp, data)


def _checked(
    path: Path, index: int, label_map: NDArray[np.uint8] | None, frame: Frame, class_count: int,
) -> NDArray[np.uint8]:
    where = f'{path}: label map {index}'
    if label_map is None:
        raise BagError(f'{where}: expected one for every frame, got {index}')
    try:
        check_label_map(label_map, frame, class_count)
    except BadImage as error:
        raise BagError(f'{where}: {error}') from error
    return label_map
