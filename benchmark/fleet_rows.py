# SPDX-License-Identifier: Apache-2.0
"""What robots had of a tutor: rounds, rows of several, and a table of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import statistics

from fleet_robots import Request
import numpy as np


@dataclass
class Row:
    """What ``robots`` robots had of a tutor; ``rounds``: key frames per second of each round."""

    robots: int
    key_frames_per_second: float
    turnaround_ms_p50: float
    turnaround_ms_p95: float
    fairness: float
    miou: float
    steps_per_key_frame: float
    stride: float
    staleness_s: float
    key_frames: int
    refused: int
    failed: int
    frames_lost: float
    gpu_utilisation: float | None
    rounds: list[float]


@dataclass
class Round:
    """One tutor's robots over the timed ``seconds``."""

    seconds: float
    answered: list[Request]
    staleness: list[float]  # mean of every robot
    strides: list[float]
    ious: list[float]
    refused: int
    failed: int
    frames_lost: float
    gpu_utilisation: float | None


def jain(values: Sequence[float]) -> float:
    """Return Jain's fairness index of positive ``values``: 1 / n to 1."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


def row_of(count: int, rounds: Sequence[Round]) -> Row:
    """Return what the rounds of one tutor with ``count`` robots say together."""
    answered = [request for one in rounds for request in one.answered]
    turnarounds = [1e3 * (request.answered_at - request.sent_at) for request in answered]
    busy = [one.gpu_utilisation for one in rounds if one.gpu_utilisation is not None]
    rates = [len(one.answered) / one.seconds for one in rounds]
    p50, p95 = np.percentile(turnarounds, (50, 95)).tolist() if answered else (np.nan, np.nan)
    return Row(
        count, statistics.fmean(rates), p50, p95,
        statistics.fmean(jain(one.staleness) for one in rounds),
        _mean([iou for one in rounds for iou in one.ious]),
        _mean([request.reply.steps for request in answered]),  # type: ignore[union-attr]
        _mean([stride for one in rounds for stride in one.strides]),
        _mean([seconds for one in rounds for seconds in one.staleness]),
        len(answered), sum(one.refused for one in rounds), sum(one.failed for one in rounds),
        _mean([one.frames_lost for one in rounds]), _mean(busy) if busy else None, rates)


def table(rows: Mapping[str, Sequence[Row]]) -> str:
    """Return the rows of both tutors as Markdown."""
    lines = ['| robots | tutor | key frames/s | turnaround p50 / p95 ms | fairness | mIoU % | '
             'steps | stride | staleness s | refused + failed | GPU % |',
             '|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|']
    for name, of in rows.items():
        for row in of:
            gpu = '-' if row.gpu_utilisation is None else f'{row.gpu_utilisation:.0f}'
            lines.append(
                f'| {row.robots} | {name} | {row.key_frames_per_second:.2f} | '
                f'{row.turnaround_ms_p50:.0f} / {row.turnaround_ms_p95:.0f} | '
                f'{row.fairness:.3f} | {100 * row.miou:.1f} | {row.steps_per_key_frame:.1f} | '
                f'{row.stride:.0f} | {row.staleness_s:.2f} | {row.refused} + {row.failed} | '
                f'{gpu} |')
    return '\n'.join(lines)


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else float('nan')
