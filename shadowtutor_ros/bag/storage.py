# SPDX-License-Identifier: Apache-2.0
"""A rosbag2 recording: its topics, and a topic's messages in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
import re
import struct
from typing import Any

from rosbags.rosbag2 import Reader
from rosbags.typesys import get_typestore, Stores

from shadowtutor_ros.bag.cut_off import CutOff, is_cut_off
from shadowtutor_ros.file_names import visible_files
from shadowtutor_ros.video import VideoError

MCAP = '.mcap'
BAG_SUFFIXES = ('.db3', MCAP)

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


@dataclass(frozen=True)
class Stamped:
    """When a message was made, by its header, and recorded, in nanoseconds."""

    header: int
    recorded: int


class Bag:
    """
    A rosbag2 folder, or a single ``.mcap`` or ``.db3`` file of one.

    A folder whose metadata are missing or damaged is read as its files, in natural order, an mcap
    file without an end as far as its last whole chunk: ``cut_off`` says which were.
    """

    def __init__(self, path: Path) -> None:
        """Read which topics there are; raise BagError when it is no readable rosbag."""
        self.path = path
        self.cut_off: list[Path] = []
        self._parts = self._readable()
        topics: dict[str, Topic] = {}
        for part in self._parts:
            with self._open(part) as reader, self._damage(part):
                for name, each in reader.topics.items():
                    before = topics.get(name)
                    topics[name] = Topic(
                        name, str(each.msgtype), each.msgcount + (before.count if before else 0),
                        before.encoding if before else self._encoding(reader, part, name))
        self.topics = tuple(topics.values())
        if self.cut_off and not topics:
            raise BagError(f'{path}: expected messages, got none{_remedy(self.cut_off[0])}')

    def messages(self, topic: Topic) -> Iterator[tuple[int, Any]]:
        """Yield header stamp in nanoseconds and message; raise BagError where it is damaged."""
        for part, _, raw in self._all(topic.name):
            with self._damage(part):
                stamp, message = _stamp(raw), TYPES.deserialize_cdr(raw, topic.type)
            yield stamp, message

    def times(self, topic: Topic) -> list[Stamped]:
        """Return when each message was made and recorded, without unpacking the messages."""
        found = []
        for part, recorded, raw in self._all(topic.name):
            with self._damage(part):
                found.append(Stamped(_stamp(raw), recorded))
        return found

    def stamps(self, topic: Topic) -> list[int]:
        """Return the header stamps in nanoseconds."""
        return [time.header for time in self.times(topic)]

    def _readable(self) -> list[Path]:
        try:
            with self._open(self.path):
                return [self.path]
        except BagError:
            parts = (visible_files(self.path, BAG_SUFFIXES) if self.path.is_dir()
                     else [self.path] if self.path.is_file() else [])
            self.cut_off = [part for part in parts
                            if part.suffix.lower() == MCAP and is_cut_off(part)]
            # What lacks a file that its metadata name is refused: nothing says where it belongs.
            if not parts or self._lacks_files() or parts == [self.path] != self.cut_off:
                raise
        return parts

    def _lacks_files(self) -> bool:
        try:
            names = re.findall(r'^\s*- (\S+\.(?:mcap|db3)\S*)$',
                               (self.path / 'metadata.yaml').read_text(), re.MULTILINE)
        except (OSError, UnicodeDecodeError):
            return False
        return not all((self.path / name).exists() for name in names)

    def _encoding(self, reader: Reader, part: Path, name: str) -> str:
        if reader.topics[name].msgtype != IMAGE:
            return ''
        _, raw = next(self._read(reader, part, name), (0, None))
        image: Any = None if raw is None else TYPES.deserialize_cdr(raw, IMAGE)
        return '' if image is None else str(image.encoding)

    def _all(self, name: str) -> Iterator[tuple[Path, int, bytes]]:
        for part in self._parts:
            with self._open(part) as reader:
                for recorded, raw in self._read(reader, part, name):
                    yield part, recorded, raw

    def _read(self, reader: Reader, part: Path, name: str) -> Iterator[tuple[int, bytes]]:
        with self._damage(part):
            connections = [c for c in reader.connections if c.topic == name]
            if not connections:  # none would mean all
                return
            messages = reader.messages(connections)
        while True:
            with self._damage(part):
                message = next(messages, None)
            if message is None:
                return
            yield message[1], message[2]

    @contextmanager
    def _open(self, part: Path) -> Iterator[Reader]:
        with self._damage(part):
            reader = _AnyCase(part)
            if part in self.cut_off:
                reader = _AnyCase(CutOff(part))
            reader.open()
        try:
            yield reader
        finally:
            with self._damage(part):
                reader.close()

    @contextmanager
    def _damage(self, part: Path) -> Iterator[None]:
        """Name the file: on damaged data the library raises whatever its parser meets."""
        try:
            yield
        except BagError:
            raise
        except Exception as error:
            raise BagError(f'{part}: expected a rosbag2 folder, .mcap or .db3, got one that '
                           f'cannot be read: {str(error).rstrip(".") or type(error).__name__}'
                           f'{_remedy(part)}') from error


class _AnyCase(Reader):
    """Takes ``RUN.MCAP``, too."""

    def __init__(self, path: Path | CutOff) -> None:
        plugin = Reader.STORAGE_PLUGINS.get(path.suffix.lower())
        if plugin is not None:
            self.STORAGE_PLUGINS = {**Reader.STORAGE_PLUGINS, path.suffix: plugin}
        super().__init__(path)  # type: ignore[arg-type]


def _remedy(path: Path) -> str:
    """Return what may help with an unreadable bag that is there, as the end of a sentence."""
    if path.is_dir():
        return f'. If its recording was cut off: ros2 bag reindex {path}'
    if path.suffix.lower() == MCAP and path.is_file():
        return f'. If its recording was cut off: mcap recover {path} -o recovered.mcap'
    return ''


def _stamp(raw: bytes) -> int:
    """Return the nanoseconds of a serialized message's header, which comes first in it."""
    sec, nanosec = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return int(sec) * 1_000_000_000 + int(nanosec)
