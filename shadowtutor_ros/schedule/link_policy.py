# SPDX-License-Identifier: Apache-2.0
"""What a robot asks of its link, by what the link has shown that it can do."""

from __future__ import annotations

from dataclasses import dataclass
import math

MIN_TIMEOUT = 3.0  # seconds: repeats on a link that loses every fifth packet take up to 2
MIN_QUALITY = 50  # below that the labels suffer
_QUALITY_DOWN, _QUALITY_UP = 10, 5
_QUICK = 0.2  # seconds: what takes no longer is not worth a worse picture
_KEEP = 0.7  # of what was known, with every new exchange
_SHARE = 0.5  # of the time that key frames may occupy the link


@dataclass(frozen=True)
class LinkLimits:
    """What is asked of a perfect link: strides in frames, ``timeout`` in seconds."""

    timeout: float = 10.0
    quality: int = 80
    min_stride: int = 8
    max_stride: int = 64


@dataclass(frozen=True)
class Exchange:
    """
    An answered key frame: payload bytes of both directions, seconds from sending to the answer.

    ``tutor`` are the seconds of these that the tutor worked, ``frame`` those from one camera
    frame to the next, NaN while unknown. ``waiting`` is the part of the time, 0-1, in which the
    robot had no CPU to send and receive with: the link is not to blame for it.
    """

    payload: int
    turnaround: float
    tutor: float
    frame: float
    waiting: float = 0.0


class LinkPolicy:
    """
    Timeout, picture quality and stride floor for the next key frame.

    Slow is a link that takes longer for a key frame and its answer than ``min_stride`` frames,
    without what the tutor does and what is waited for a CPU: then the pictures get smaller.
    Answered key frames occupy it for half of the time at most, unless ``max_stride`` is too
    short for that.
    """

    def __init__(self, limits: LinkLimits) -> None:
        self._limits = limits
        self._silences = 0
        self._turnaround = math.nan
        self._deviation = 0.0
        self._link = math.nan
        self._frame = math.nan
        self._payload = 0.0
        self._quality = limits.quality

    def change(self, limits: LinkLimits) -> None:
        """Go on by other limits, with what is known of the link."""
        self._limits = limits
        self._quality = limits.quality

    @property
    def timeout(self) -> float:
        """Seconds of silence after which a key frame has failed; doubles with each in a row."""
        most = self._limits.timeout
        if math.isnan(self._turnaround):
            return most
        usual = max(MIN_TIMEOUT, 3 * (self._turnaround + 2 * self._deviation))
        return min(most, usual * 2.0 ** min(self._silences, 16))

    @property
    def quality(self) -> int:
        """Of a lossy picture, 1-100."""
        return self._quality

    @property
    def stride_floor(self) -> int:
        """Least distance of key frames in frames."""
        limits = self._limits
        if math.isnan(self._link) or math.isnan(self._frame) or self._frame <= 0:
            return limits.min_stride
        frames = self._link / _SHARE / self._frame
        return int(min(max(limits.min_stride, math.ceil(frames)), limits.max_stride))

    @property
    def goodput(self) -> float:
        """Payload bytes per second of the last exchanges; NaN: unknown."""
        return self._payload / self._link if self._link > 0 else math.nan

    def on_answer(self, exchange: Exchange) -> None:
        """Learn from an answered key frame."""
        self._silences = 0
        link = (1 - exchange.waiting) * max(0.0, exchange.turnaround - exchange.tutor)
        if math.isnan(self._turnaround):
            self._turnaround, self._link = exchange.turnaround, link
            self._payload = exchange.payload
        else:
            self._deviation = _mix(
                self._deviation, abs(exchange.turnaround - self._turnaround))
            self._turnaround = _mix(self._turnaround, exchange.turnaround)
            self._link = _mix(self._link, link)
            self._payload = _mix(self._payload, exchange.payload)
        self._frame = exchange.frame
        budget = self._limits.min_stride * self._frame
        if self._link > budget and self._link > _QUICK:
            self._worsen()
        elif self._link < max(budget, _QUICK) / 3:
            self._quality = min(self._limits.quality, self._quality + _QUALITY_UP)

    def on_silence(self) -> None:
        """Learn that nothing was heard of a key frame for ``timeout`` seconds."""
        self._silences += 1
        self._worsen()

    def _worsen(self) -> None:
        least = min(MIN_QUALITY, self._limits.quality)
        self._quality = max(least, self._quality - _QUALITY_DOWN)


def _mix(old: float, new: float) -> float:
    return _KEEP * old + (1 - _KEEP) * new
