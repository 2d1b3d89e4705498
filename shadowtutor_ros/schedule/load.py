# SPDX-License-Identifier: Apache-2.0
"""How much a tutor gives each of its robots when they want more than it has."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
import math
from statistics import fmean
from typing import NamedTuple

MAX_STRIDE_FLOOR = 100_000  # frames: more than LONGEST_PERIOD of the fastest camera
LEAST_SHARE = 0.25  # of a lesson's steps: with fewer, key frames teach little
UTILISATION = 0.85  # of the desks, so that what comes unevenly does not queue for long
CALM_PERIOD = 2.0  # seconds between a robot's key frames that are better than shorter lessons
LONGEST_PERIOD = 60.0  # seconds between a robot's key frames, however many robots there are

_DECIDE_EVERY = 0.5  # seconds: a decision looks at every stream, and need not follow each lesson
_SHARES = 64  # shares are whole 64ths
_LESSONS = 8  # that a stream is judged by
_KEEP = 0.7  # of a mean, with every new value
_FASTEST, _USUAL = 1e-3, 1 / 30  # seconds between frames, of a robot that says less or nothing
_USUAL_STRIDE = 8  # frames
_GONE_AFTER = 10.0  # seconds of silence, or
_PERIODS = 3.0  # this many of the periods that are expected of it


@dataclass(frozen=True)
class Wish:
    """
    How often a robot wants to ask, as it says with a key frame.

    ``frame_period`` are seconds between its frames, ``stride`` frames to its next key frame by
    Algorithm 2, before any floor; 0: it does not know.
    """

    frame_period: float = 0.0
    stride: int = 0

    @property
    def rate(self) -> float:
        """Key frames per second, NaN: not known."""
        period = max(self.frame_period, _FASTEST) * self.stride
        return 1.0 / period if self.frame_period > 0 and self.stride > 0 else math.nan


@dataclass(frozen=True)
class Effort:
    """
    What one lesson took.

    ``base`` are the seconds of a desk beside the steps, with this key frame's part of what else
    limits how many can be taught; ``step`` those of one step, 0 if none was taken. ``steps`` were
    taken of ``allowed``, of ``limit`` without any load.
    """

    base: float
    step: float
    steps: int
    allowed: int
    limit: int

    def at_least(self, seconds: float) -> Effort:
        """Return the same with a base that makes it take so many seconds in all."""
        missing = seconds - self.base - self.step * self.steps
        return replace(self, base=self.base + max(0.0, missing))

    @property
    def need(self) -> int:
        """Steps that the lesson would have taken without any load, as far as can be known."""
        return self.steps if self.steps < self.allowed else self.limit


def steps_allowed(limit: int, share: float) -> int:
    """Return how many of a lesson's ``limit`` steps a ``share`` in (0, 1] leaves: at least one."""
    return min(limit, max(1, math.ceil(share * limit)))


class Load:
    """
    Weighs what the robots wish for against the desks of a tutor, at which robots are taught.

    While there is a desk for everybody, or room for all wishes, nothing is limited. Else the
    robots that would ask most often get one least period, so that the weights of all are equally
    old. If that would be more than CALM_PERIOD, lessons get shorter, down to LEAST_SHARE of their
    steps. Not sooner: a lesson that ends below the threshold has its robot ask more often, and
    robots that ask more often would keep lessons short. What is wished counts, not what robots do
    under a floor: so nothing swings. ``now`` is in seconds of one clock.
    """

    def __init__(self, lessons_at_once: int) -> None:
        if lessons_at_once < 1:
            raise ValueError(f'lessons_at_once: expected 1 or more, got {lessons_at_once}')
        self._desks = lessons_at_once
        self._streams: dict[str, _Stream] = {}
        self._decided = -math.inf
        self._share = 1.0
        self._period = 0.0

    def asked(self, stream_id: str, wish: Wish, now: float) -> None:
        """Take note of a key frame of the stream."""
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = _Stream()
        stream.on_key_frame(wish, now)

    def taught(self, stream_id: str, effort: Effort, now: float) -> None:
        """Take note of a lesson of the stream; nothing if it was forgotten meanwhile."""
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.on_lesson(effort, now)

    def forget(self, stream_id: str) -> None:
        """Count a stream no more that has lost its place."""
        self._streams.pop(stream_id, None)

    def share(self, now: float) -> float:
        """Return the share of a lesson's steps that the load leaves, LEAST_SHARE to 1."""
        self._decide(now)
        return self._share

    def stride_floor(self, stream_id: str, now: float) -> int:
        """
        Return the least distance of the stream's next key frames in frames, 0: as it likes.

        To be told with an answer: it is at most twice the distance of its last two.
        """
        self._decide(now)
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.next_floor(self._period, self._share, now)

    def _decide(self, now: float) -> None:
        if now < self._decided + _DECIDE_EVERY:
            return
        self._decided = now
        self._share, self._period = 1.0, 0.0
        active = [stream for stream in self._streams.values() if stream.active(now)]
        known = [stream for stream in active if stream.lessons]
        if len(active) <= self._desks or not known:
            return
        capacity = UTILISATION * self._desks

        def demands(share: float) -> list[_Demand]:
            costs = {id(stream): stream.cost(share) for stream in known}
            usual = fmean(costs.values())
            return [stream.demand(costs.get(id(stream), usual)) for stream in active]

        least, most = math.ceil(LEAST_SHARE * _SHARES), _SHARES
        while least < most:  # the largest share that keeps everybody calm, or the least
            middle = (least + most + 1) // 2
            if _least_period(demands(middle / _SHARES), capacity) <= CALM_PERIOD:
                least = middle
            else:
                most = middle - 1
        self._share = least / _SHARES
        self._period = min(_least_period(demands(self._share), capacity), LONGEST_PERIOD)


class _Demand(NamedTuple):
    """Seconds between a stream's key frames and seconds of a desk for each."""

    period: float
    cost: float


@dataclass
class _Stream:
    """
    What is known of a stream.

    ``gap`` are the seconds between its last two key frames, ``usual_gap`` those between all.
    """

    wish: Wish = field(default_factory=Wish)
    heard: float = math.nan
    asked: float = math.nan
    gap: float = math.nan
    usual_gap: float = math.nan
    base: float = math.nan
    step: float = math.nan
    lessons: deque[Effort] = field(default_factory=lambda: deque(maxlen=_LESSONS))
    floor: int = 0

    @property
    def period(self) -> float:
        """Seconds between its key frames if it could ask as it likes."""
        if self.wish.frame_period > 0 and self.wish.stride > 0:
            return max(self.wish.frame_period, _FASTEST) * self.wish.stride
        if not math.isnan(self.usual_gap):
            return self.usual_gap
        return (self.wish.frame_period or _USUAL) * (self.wish.stride or _USUAL_STRIDE)

    def active(self, now: float) -> bool:
        expected = max(self.period, self.floor * self.wish.frame_period)
        return now - self.heard <= max(_GONE_AFTER, _PERIODS * expected)

    def on_key_frame(self, wish: Wish, now: float) -> None:
        if not math.isnan(self.asked):
            self.gap = now - self.asked
            self.usual_gap = _mix(self.usual_gap, self.gap)
        self.wish, self.asked, self.heard = wish, now, now

    def on_lesson(self, effort: Effort, now: float) -> None:
        if self.lessons and self.lessons[-1].limit != effort.limit:
            self.lessons.clear()  # from cold to warm: other steps, and not as many
            self.base = self.step = math.nan
        self.lessons.append(effort)
        self.base = _mix(self.base, effort.base)
        if effort.steps:
            self.step = _mix(self.step, effort.step)
        self.heard = now

    def cost(self, share: float) -> float:
        """Return the seconds of a desk that its next lesson will take."""
        steps = fmean(min(lesson.need, steps_allowed(lesson.limit, share))
                      for lesson in self.lessons)
        return self.base + (0.0 if math.isnan(self.step) else self.step * steps)

    def demand(self, cost: float) -> _Demand:
        # It waits for an answer before it asks again: alone it cannot take more than one desk.
        return _Demand(max(self.period, cost), cost)

    def next_floor(self, period: float, share: float, now: float) -> int:
        frame_period = self.wish.frame_period
        if frame_period <= 0 or period <= self.period:
            self.floor = 0
        else:
            # A rush of beginners looks worse than it is: nobody is sent away for long at once.
            most = 2 * max(self.period, 0.0 if math.isnan(self.gap) else self.gap)
            # Who waited comes so much later next time: a crowd of one period would stay one.
            waited = max(0.0, now - self.asked - self.cost(share)) if self.lessons else 0.0
            self.floor = math.ceil(
                min(min(period, most) + waited, LONGEST_PERIOD) / max(frame_period, _FASTEST))
        return self.floor


def _desks_of(demands: Sequence[_Demand]) -> float:
    """Return how many desks are busy on average if everybody asks as it likes."""
    return sum(demand.cost / demand.period for demand in demands if demand.cost > 0)


def _least_period(demands: Sequence[_Demand], capacity: float) -> float:
    """Return the seconds below which no period may be for ``capacity`` desks to do, 0: any."""
    rest = _desks_of(demands)
    if rest <= capacity:
        return 0.0
    cost, least = 0.0, math.inf
    eager = sorted(demands)
    for index, demand in enumerate(eager):
        cost += demand.cost
        rest -= demand.cost / demand.period if demand.cost > 0 else 0.0
        if rest >= capacity:
            continue
        least = cost / (capacity - rest)
        if index + 1 == len(eager) or least <= eager[index + 1].period:
            break
    return least


def _mix(old: float, new: float) -> float:
    return new if math.isnan(old) else _KEEP * old + (1 - _KEEP) * new
