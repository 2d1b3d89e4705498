# SPDX-License-Identifier: Apache-2.0
"""A lesson as pictures: the key frame, the teacher's label and the student's mask on it."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
import itertools
import threading
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.monitor.fleet import LessonView
from shadowtutor_ros.monitor.legend import Legend
from shadowtutor_ros.monitor.words import plain
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.wire.errors import BadKeyFrame
from shadowtutor_ros.wire.key_frame import decode_frame, encode_frame, EncodedFrame, JPEG

KINDS = ('frame', 'teacher', 'student')
LIVE = 'live'

_OPACITY = 0.6
_QUALITY = 88  # of JPEGs for the browser
_KEPT = 2  # pictures of a stream: a slow browser may still be loading the last but one
_MOST = 512  # streams and students
_LIVE_PIXELS = 1 << 20


class BadLesson(ValueError):
    """The lesson's images cannot be shown."""


@dataclass(frozen=True)
class Pictures:
    """JPEGs of one size by KINDS, or LIVE; names and colours of the classes that occur in them."""

    serial: int
    jpegs: dict[str, bytes]
    classes: tuple[tuple[str, tuple[int, int, int]], ...]


@dataclass
class _Stream:
    lesson: Any = None
    legend: Legend | None = None
    problem: str = ''
    pictures: deque[Pictures] = field(default_factory=lambda: deque(maxlen=_KEPT))


class Gallery:
    """Paints every lesson once, however many look at it; may be used from any thread."""

    def __init__(self) -> None:
        self._streams: dict[tuple[tuple[str, ...], str], _Stream] = {}
        self._serials = itertools.count(1)
        self._lock = threading.Lock()

    def show(self, last: LessonView) -> tuple[Pictures | None, str]:
        """
        Return the newest pictures of the lesson's stream, and why they are not this lesson's.

        A lesson that cannot be shown leaves the pictures before it; the reason is empty for one
        that can.
        """
        with self._lock:
            stream = self._stream(KINDS, last.lesson.stream_id)
            if stream.lesson is not last.lesson or stream.legend != last.legend:
                stream.lesson, stream.legend, stream.problem = last.lesson, last.legend, ''
                try:
                    stream.pictures.append(paint(last, next(self._serials)))
                except BadLesson as error:
                    stream.problem = f'lesson {last.lesson.sequence} is not shown: {error}'
            return (stream.pictures[-1] if stream.pictures else None), stream.problem

    def live(self, node: str, image: Any) -> Pictures | None:
        """Return what a student sees, of its CompressedImage; None where that is no good."""
        with self._lock:
            stream = self._stream((LIVE,), node)
            if stream.lesson is not image:
                stream.lesson = image
                with suppress(BadKeyFrame):
                    jpeg = encode_frame(decode_frame(EncodedFrame(
                        JPEG, bytes(image.data)), _LIVE_PIXELS), JPEG, _QUALITY).data
                    stream.pictures.append(Pictures(next(self._serials), {LIVE: jpeg}, ()))
            return stream.pictures[-1] if stream.pictures else None

    def _stream(self, kinds: tuple[str, ...], name: str) -> _Stream:
        key = kinds, name
        stream = self._streams.pop(key, None) or _Stream()
        self._streams[key] = stream  # the newest comes last
        if len(self._streams) > _MOST:
            del self._streams[next(iter(self._streams))]
        return stream

    def jpeg(self, serial: int, kind: str) -> bytes | None:
        """Return one picture that was shown lately; None if there is none."""
        with self._lock:
            return next((pictures.jpegs.get(kind) for stream in self._streams.values()
                         for pictures in stream.pictures if pictures.serial == serial), None)


def paint(last: LessonView, serial: int) -> Pictures:
    """Return a lesson's pictures; raise BadLesson saying which image is wrong and how."""
    if last.legend is None:
        raise BadLesson(f'{last.tutor} has not said yet what its classes are')
    frame = _decode('key frame', last.lesson.key_frame)
    label = _class_ids('label', last.lesson.label, frame)
    mask = _class_ids('mask', last.lesson.mask, frame)
    colours = last.legend.colours
    pictures = (frame, overlay(frame, label, colours, _OPACITY),
                overlay(frame, mask, colours, _OPACITY))
    try:
        jpegs = {kind: encode_frame(picture, JPEG, _QUALITY).data
                 for kind, picture in zip(KINDS, pictures)}
    except BadKeyFrame as error:
        raise BadLesson(str(error)) from error
    found = [index for index in np.union1d(label, mask) if index < len(colours) - 1]
    return Pictures(serial, jpegs, tuple(
        (last.legend.names[index], colours[index]) for index in found))


def _decode(what: str, image: Any) -> NDArray[np.uint8]:
    try:
        return decode_frame(EncodedFrame(image.format, bytes(image.data)))
    except BadKeyFrame as error:
        raise BadLesson(plain(f'{what}: {error}')) from error


def _class_ids(what: str, image: Any, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ids = _decode(what, image)
    if ids.shape != frame.shape:
        raise BadLesson(f'{what}: expected {frame.shape[0]}x{frame.shape[1]} as the key frame, '
                        f'got {ids.shape[0]}x{ids.shape[1]}')
    return cv2.extractChannel(ids, 0).astype(np.uint8, copy=False)  # grey: all three are the same
