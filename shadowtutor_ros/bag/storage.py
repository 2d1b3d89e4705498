# SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording: its topics, and a topic's messages in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
import struct
from typing import Any

from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

from shadowtutor_ros.video import VideoError

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'

# Camera messages are the same in every ROS 2 distribution.
TYPES = get_typestore(Stores.ROS2_HUMBLE)


class BagError(VideoError):
    """A rosbag cannot be read or written."""


@dataclass(frozen=True)
class Topic:
    """A topic of a bag; ``encoding`` is its first image's, empty where there is none."""

    name: str
    type: str
    count: int
    encoding: str = ''

    def __str__(self) -> str:
        what = f'{self.type}, {self.encoding}' if self.encoding else self.type
        return f'{self.name} ({what}, {self.count} messages)'


class Bag:
    """A rosbag2 folder, or a single ``.mcap`` or ``.db3`` file of one."""

    def __init__(self, path: Path) -> None:
        """Read which topics there are; raise BagError when it is no readable rosbag."""
        self.path = path
        with self._open() as reader, self._damage():
            self.topics = tuple(
                Topic(name, str(topic.msgtype), topic.msgcount, self._encoding(reader, name))
                for name, topic in reader.topics.items())

    def messages(self, topic: Topic) -> Iterator[tuple[int, Any]]:
        """Yield header stamp in nanoseconds and message; raise BagError where it is damaged."""
        with self._open() as reader:
            for raw in self._read(reader, topic.name):
                with self._damage():
                    stamp, message = _stamp(raw), TYPES.deserialize_cdr(raw, topic.type)
                yield stamp, message

    def stamps(self, topic: Topic) -> list[int]:
        """Return the header stamps in nanoseconds, without unpacking the messages."""
        with self._open() as reader, self._damage():
            return [_stamp(raw) for raw in self._read(reader, topic.name)]

    def _encoding(self, reader: Reader, name: str) -> str:
        if reader.topics[name].msgtype != IMAGE:
            return ''
        raw = next(self._read(reader, name), None)
        image: Any = None if raw is None else TYPES.deserialize_cdr(raw, IMAGE)
        return '' if image is None else str(image.encoding)

    def _read(self, reader: Reader, name: str) -> Iterator[bytes]:
        with self._damage():
            connections = [c for c in reader.connections if c.topic == name]
            messages = reader.messages(connections)
        while True:
            with self._damage():
                message = next(messages, None)
            if message is None:
                return
            yield message[2]

    @contextmanager
    def _open(self) -> Iterator[Reader]:
        with self._damage():
            reader = Reader(self.path)
            reader.open()
        try:
            yield reader
        finally:
            reader.close()

    @contextmanager
    def _damage(self) -> Iterator[None]:
        """Name the file: on damaged data the library raises whatever its parser meets."""
        try:
            yield
        except BagError:
            raise
        except Exception as error:
            raise BagError(f'{self.path}: expected a rosbag2 folder, .mcap or .db3, got one that '
                           f'cannot be read: {str(error) or type(error).__name__}') from error


def _stamp(raw: bytes) -> int:
    """Return the nanoseconds of a serialized message's header, which comes first in it."""
    sec, nanosec = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)
