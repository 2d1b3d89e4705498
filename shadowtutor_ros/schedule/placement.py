# SPDX-License-Identifier: Apache-2.0
"""Which worker of a pool teaches which stream: no clock, no thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
import math
from statistics import fmean
from typing import NamedTuple

_CLEARED_IN = 10.0  # seconds: a queue counts as if it had to be worked off in so many
_WORTH = 0.5, 0.1  # parts of a stream's own pressure, and of the worker's, that a move must save


@dataclass(frozen=True)
class Place:
    """
    A worker that is ready.

    ``service``: seconds that it takes for a key frame, NaN: not known. ``queued`` key frames are
    there. ``rates`` are the key frames per second that each of its streams wants, by stream, NaN:
    not known.
    """

    service: float
    queued: int
    rates: Mapping[str, float]


class Move(NamedTuple):
    """A stream goes from one place to another, which are numbers in their sequence."""

    stream_id: str
    source: int
    target: int


def best_place(places: Sequence[Place]) -> int:
    """Return the number of the place, of at least one, that is under the least pressure then."""
    known = _Known(places)
    return min(range(len(places)), key=lambda i: (
        known.pressure(i) + known.cost(i, math.nan), len(places[i].rates)))


def best_move(places: Sequence[Place], movable: Collection[str]) -> Move | None:
    """Return which of the ``movable`` streams shall change its worker; None: none is worth it."""
    if len(places) < 2:
        return None
    known = _Known(places)
    order = sorted(range(len(places)), key=lambda i: (known.pressure(i), len(places[i].rates)))
    target, source = order[0], order[-1]
    most = known.pressure(source)

    def saved(stream_id: str) -> float:
        rate = places[source].rates[stream_id]
        return most - max(most - known.cost(source, rate),
                          known.pressure(target) + known.cost(target, rate))

    stream_id = max(sorted(set(movable) & places[source].rates.keys()), key=saved, default=None)
    if stream_id is None:
        return None
    least = max(_WORTH[0] * known.cost(source, places[source].rates[stream_id]),
                _WORTH[1] * most)
    return Move(stream_id, source, target) if saved(stream_id) >= least > 0 else None


class _Known:
    """The places, with the mean for what is not known of one."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._service = _mean(place.service for place in places)
        self._rate = _mean(rate for place in places for rate in place.rates.values())

    def cost(self, index: int, rate: float) -> float:
        """Return the share of a place's time, 0-1 and beyond, that a stream takes."""
        return self._of(self._places[index].service, self._service) * self._of(rate, self._rate)

    def pressure(self, index: int) -> float:
        """Return the share of its time that all of its streams take, and what waits."""
        place = self._places[index]
        waiting = place.queued / _CLEARED_IN * self._of(place.service, self._service)
        return waiting + sum(self.cost(index, rate) for rate in place.rates.values())

    @staticmethod
    def _of(value: float, usual: float) -> float:
        return usual if math.isnan(value) else value


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return fmean(known) if known else 1.0
