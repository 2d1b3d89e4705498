# SPDX-License-Identifier: Apache-2.0
"""Many robots at one tutor, from the first to the last event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
import random
from statistics import fmean

from simulation.events import Events
from simulation.robots import Robot
from simulation.tutors import LockStep, Pipeline, Pipelined, ServiceTimes


@dataclass(frozen=True)
class Scenario:
    """A tutor by its service times; no ``pipeline``: one key frame at a time."""

    name: str
    times: ServiceTimes
    pipeline: Pipeline | None


@dataclass(frozen=True)
class Period:
    """
    Seconds: robots come within ``join``, are looked at from ``steady`` on, until ``end``.

    Robots ``stay`` so long, and others take their places.
    """

    join: float = 5.0
    stay: float = 600.0
    steady: float = 60.0
    end: float = 120.0


@dataclass(frozen=True)
class Row:
    """
    What was seen from ``steady`` on.

    ``fairness`` is Jain's index of the mean ages of the weights, ``staleness`` their mean in
    seconds, ``longest_gap`` the seconds that one robot was longest without an update: of the
    robots that were there all the time. ``early_failures`` are those before. ``gpu`` is the share
    of the time that it was busy.
    """

    scenario: str
    robots: int
    key_frames_per_second: float
    turnaround_ms_p50: float
    turnaround_ms_p95: float
    fairness: float
    staleness: float
    stride: float
    steps: float
    steps_share: float
    longest_gap: float
    failures: int
    early_failures: int
    gpu: float


def simulate(scenario: Scenario, robots: int, period: Period | None = None, seed: int = 0) -> Row:
    """Return what ``robots`` robots meet at a tutor."""
    period = period or Period()
    rng = random.Random(seed)
    events = Events()
    tutor = (LockStep(events, scenario.times) if scenario.pipeline is None
             else Pipelined(events, scenario.times, scenario.pipeline))
    fleet: list[Robot] = []

    def join(name: str) -> None:
        fleet.append(Robot(name, events, tutor, random.Random(rng.random()), period.steady))

    def change(number: int) -> None:
        fleet[number].leave()
        join(f'late robot {number}')
        events.after(period.stay / robots, partial(change, number + 1))

    for number in range(robots):
        events.after(rng.uniform(0.0, period.join), partial(join, f'robot {number}'))
    events.after(period.join + period.stay / robots, partial(change, 0))
    events.run(period.steady)
    busy = tutor.gpu.busy_seconds
    there = [robot for robot in fleet if robot.here]
    events.run(period.end)
    seconds = period.end - period.steady
    records = [robot.record for robot in fleet]
    turnarounds = sorted(t for record in records for t in record.turnarounds)
    stayed = [robot.record for robot in there if robot.here]
    ages = [record.staleness / record.frames for record in stayed]
    return Row(
        scenario.name, robots, len(turnarounds) / seconds,
        1e3 * _quantile(turnarounds, 0.5), 1e3 * _quantile(turnarounds, 0.95),
        jain(ages), fmean(ages),
        _mean([s for record in stayed for s in record.strides]),
        _mean([s for record in stayed for s in record.steps]),
        _mean([share for when, share in tutor.shares if when >= period.steady]),
        max(record.gap for record in stayed), sum(record.failures for record in records),
        sum(record.early_failures for record in records),
        (tutor.gpu.busy_seconds - busy) / seconds)


def jain(values: Sequence[float]) -> float:
    """Return Jain's fairness index: 1 where all are equal, 1 / n where one has everything."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def _quantile(ordered: Sequence[float], q: float) -> float:
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))] if ordered else float('nan')


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else float('nan')
