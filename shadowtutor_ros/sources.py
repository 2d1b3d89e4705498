# SPDX-License-Identifier: Apache-2.0
"""Every kind of source of frames, each a class and a row of SOURCES."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shadowtutor_ros.file_names import visible_files
from shadowtutor_ros.video import Capture, ImageFolder, Source, VideoError

BAG_SUFFIXES = ('.db3', '.mcap')


@dataclass(frozen=True)
class SourceKind:
    """Whether a text names a source of this kind, and what opens it or raises VideoError."""

    fits: Callable[[str], bool]
    open: Callable[[str], Source]
    open_topic: Callable[[str, str], Source] | None = None  # where there are several videos


def _is_bag(source: str) -> bool:
    path = Path(source).expanduser()
    return (path.suffix.lower() in BAG_SUFFIXES or (path / 'metadata.yaml').is_file()
            or (path.is_dir() and bool(visible_files(path, BAG_SUFFIXES))))


def _open_bag(source: str, topic: str = '') -> Source:
    try:  # an extra: whoever has no bags needs no rosbags
        from shadowtutor_ros.bag.reader import BagSource
    except ImportError as error:
        raise VideoError(f'{source}: rosbags need pip install rosbags: {error}') from error
    return BagSource(source, topic)


# The first that fits is taken: a bag may be a folder, too.
SOURCES = (
    SourceKind(_is_bag, _open_bag, _open_bag),
    SourceKind(ImageFolder.fits, ImageFolder),
    SourceKind(Capture.fits, Capture),
)


def open_source(source: str, topic: str = '') -> Source:
    """
    Return the frames of a rosbag (folder, .mcap, .db3), image folder, video file or camera index.

    ``topic`` is a rosbag's; empty: its only camera. Raise VideoError when it cannot be read.
    """
    for kind in SOURCES:
        if kind.fits(source):
            if not topic:
                return kind.open(source)
            if kind.open_topic is None:
                raise VideoError(f'{source}: expected a rosbag, which has the topic {topic}')
            return kind.open_topic(source, topic)
    raise VideoError(f'{source!r}: no such video file, image folder or camera index')
