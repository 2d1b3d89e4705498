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


@dataclass(frozen=True)
class TutorReport:
    """
    Key frames ``queued`` now, and seconds since the tutor was made in which it taught.

    ``steps_share`` is the part of a lesson's steps that the load leaves, 0-1.
    """

    queued: int
    teaching_seconds: float
    streams: tuple[StreamReport, ...]
    steps_share: float = 1.0
