# SPDX-License-Identifier: Apache-2.0
"""A video or a folder of images from a rosbag, painted with its masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from shadowtutor_ros.bag.images import check_label_map, label_map_of
from shadowtutor_ros.bag.output import new_output
from shadowtutor_ros.bag.reader import BagSource
from shadowtutor_ros.bag.storage import Bag, BagError, Topic
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.video_writer import VideoWriter
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.pixels import MONO8


@dataclass(frozen=True)
class Exported:
    """
    What became of a bag: its frames, how many were painted, and masks that fit none.

    ``damage`` says which frames could not be read and were left out; empty for none.
    """

    frames: int
    painted: int
    masks_without_frame: int
    damage: str = ''


def export_bag(
    path: Path, out: Path, classes: ClassSet, *,
    topic: str = '', mask_topic: str = '', opacity: float = 0.5,
) -> Exported:
    """
    Write a camera topic of the bag ``path`` to ``out``: an ``.mp4``, else a folder of PNGs.

    ``topic`` is as in BagSource. ``mask_topic`` has mono8 class ids of ``classes``; empty: the
    only mono8 topic, if there is one. A mask is painted with ``opacity`` (0-1) on the frame
    of exactly its stamp; a frame without one stays as it is. Raise BagError when the bag, a
    topic or a mask is not as expected or the output exists, VideoError when it cannot be
    written; nothing is left then.
    """
    source = BagSource(str(path), topic)
    found = _mask_topic(Bag(path), mask_topic, source.topic)
    masks = _Masks(Bag(path), found, set(source.stamps)) if found else None
    painted = written = 0
    with new_output(out) as part, _sink(part, source.fps) as write:
        for index, (stamp, frame) in enumerate(zip(source.stamps, source)):
            mask = masks.take(stamp) if masks else None
            if index in source.damage.frames:
                continue
            written += 1
            if mask is None:
                write(frame)
                continue
            try:
                write(_painted(frame, mask, classes, opacity))
            except BadImage as error:
                raise BagError(f'{path}: {found}: mask of frame {index}: {error}') from error
            painted += 1
    return Exported(written, painted, masks.count - painted if masks else 0, str(source.damage))


def _painted(frame: Frame, mask: Any, classes: ClassSet, opacity: float) -> Frame:
    class_ids = label_map_of(mask)
    check_label_map(class_ids, frame, len(classes))
    return overlay(frame, class_ids, classes.colours, opacity)


def _mask_topic(bag: Bag, name: str, camera: str) -> Topic | None:
    fitting = [t for t in bag.topics if t.encoding == MONO8 and t.name != camera]
    if name:
        fitting = [t for t in fitting if t.name == name]
    if len(fitting) > 1 or (name and not fitting):
        wanted = f'the mono8 topic {name}' if name else 'one mono8 topic'
        raise BagError(f'{bag.path}: expected {wanted}, got {", ".join(map(str, bag.topics))}')
    return fitting[0] if fitting else None


class _Masks:
    """A topic's messages by their stamp, read no further than needed."""

    def __init__(self, bag: Bag, topic: Topic, wanted: set[int]) -> None:
        stamps = bag.stamps(topic)
        self.count = len(stamps)
        self._messages = bag.messages(topic)
        self._ahead = wanted & set(stamps)
        self._passed: dict[int, Any] = {}

    def take(self, stamp: int) -> Any | None:
        """Return the message at ``stamp`` nanoseconds if there is one, each only once."""
        while stamp in self._ahead:
            passed, message = next(self._messages)
            if passed in self._ahead:
                self._ahead.remove(passed)
                self._passed[passed] = message
        return self._passed.pop(stamp, None)


@contextmanager
def _sink(out: Path, fps: float) -> Iterator[Callable[[Frame], None]]:
    if out.suffix == '.mp4':
        with VideoWriter(out, fps) as writer:
            yield writer.write
    else:
        out.mkdir()
        yield _Pictures(out)


class _Pictures:
    """Writes frames as numbered PNGs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, frame: Frame) -> None:
        png = cv2.imencode('.png', frame)[1].tobytes()
        (self._folder / f'{self._count:06}.png').write_bytes(png)
        self._count += 1
