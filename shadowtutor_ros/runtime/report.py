# SPDX-License-Identifier: Apache-2.0
"""What a tutor does at the moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StreamReport:
    """
    A stream with a session; metrics of its last key frame, 0-1, NaN before the first.

    ``stride_floor`` is what its robot was told last: the least distance of key frames in frames,
    0: any. ``library_id`` is the last student of the library that a lesson started from, empty if
    none did, and ``library_gain`` what it was better by on that key frame, 0-1.
    ``worker`` teaches it, of a pool.
    """

    stream_id: str
    version: int
    key_frames: int
    initial_metric: float
    metric: float
    steps: int
    idle_seconds: float
    stride_floor: int = 0
    library_id: str = ''
    library_gain: float = 0.0
    worker: str = ''


@dataclass(frozen=True)
class WorkerReport:
    """
    One worker of a pool; ``where`` is its machine or device, '' before it is ``ready``.

    ``queued`` key frames wait there, ``streams`` have their place there, and ``load`` is the part
    of the last seconds in which it taught, 0-1.
    """

    name: str
    where: str
    ready: bool
    queued: int
    streams: int
    load: float


@dataclass(frozen=True)
class TutorReport:
    """
    Key frames ``queued`` now, and seconds since the tutor was made in which it taught.

    ``steps_share`` is the part of a lesson's steps that the load leaves, 0-1. A pool has
    ``workers``, and its seconds are their mean.
    """

    queued: int
    teaching_seconds: float
    streams: tuple[StreamReport, ...]
    steps_share: float = 1.0
    workers: tuple[WorkerReport, ...] = ()
