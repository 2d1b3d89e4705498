# SPDX-License-Identifier: Apache-2.0
"""Bags of any messages, as other recorders make them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer

from shadowtutor_ros.bag.storage import COMPRESSED_IMAGE, IMAGE, TYPES


def header(stamp: int) -> Any:
    time = TYPES.types['builtin_interfaces/msg/Time'](*divmod(stamp, 10**9))
    return TYPES.types['std_msgs/msg/Header'](time, 'camera')


def image(pixels: np.ndarray, encoding: str, stamp: int = 0, padding: int = 0) -> Any:
    height, width = pixels.shape[:2]
    rows = np.pad(pixels.reshape(height, pixels[:1].size), ((0, 0), (0, padding)))
    return TYPES.types[IMAGE](header(stamp), height, width, encoding, 0, rows.shape[1],
                              np.ascontiguousarray(rows).reshape(-1))


def compressed(format_: str, data: bytes) -> Any:
    return TYPES.types[COMPRESSED_IMAGE](header(0), format_, np.frombuffer(data, np.uint8))


def text(value: str) -> Any:
    return TYPES.types['std_msgs/msg/String'](value)


def record(
    path: Path, messages: Iterable[tuple[str, Any]],
    storage: StoragePlugin = StoragePlugin.SQLITE3, period: int = 10**6,
) -> Path:
    """Write messages in this order, ``period`` ns apart, whatever their headers say."""
    connections: dict[str, Any] = {}
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for index, (topic, message) in enumerate(messages):
            type_ = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_, typestore=TYPES)
            data = TYPES.serialize_cdr(message, type_)
            writer.write(connections[topic], index * period, data)
    return path
