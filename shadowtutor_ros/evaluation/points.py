# SPDX-License-Identifier: Apache-2.0
"""Throughput against bandwidth as measured, beside the equations' (sections 4.4 and 6.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.evaluation.bounds import (
    Limits,
    Measured,
    naive_throughput_fps,
    network_seconds,
    throughput_fps,
)
from shadowtutor_ros.harness.two_machines import LinkRun
from shadowtutor_ros.whole_file import replace_json

Statuses = Sequence[Mapping[str, float]]


class SweepError(ShadowTutorError):
    """What was measured is too little for the points of a sweep."""


@dataclass(frozen=True)
class Point:
    """
    One bandwidth; frames per second by the equations and, where there is a link, as measured.

    ``lower`` and ``upper`` are equations 14 and 15. Bytes are ShadowTutor's in both directions:
    payload is key frames and weights, wire is Ethernet frames. ``key_frame_ratio`` is 0-1.
    """

    mbps: float
    lower: float
    upper: float
    naive_bound: float
    fps: float | None = None
    inside: bool | None = None
    naive_fps: float | None = None
    key_frame_ratio: float | None = None
    payload_bytes: int | None = None
    wire_bytes: int | None = None


@dataclass(frozen=True)
class Sweep:
    """
    ``measured`` and ``naive`` are the latencies without a limit on the bandwidth.

    ``note`` says why nothing was measured at the bandwidths; empty where it was.
    """

    video: str
    frames: int
    naive_frames: int
    measured: Measured
    naive: Measured
    limits: Limits
    points: tuple[Point, ...]
    note: str = ''

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        replace_json(path, asdict(self))

    def table(self) -> str:
        """Return the points as a Markdown table, what was not measured as '-'."""
        lines = ['| Mbps | FPS | least (14) | most (15) | inside | naive FPS | naive (equation) | '
                 'key frames | payload | on the wire |', '|' + '---:|' * 10]
        for p in self.points:
            inside = '-' if p.inside is None else 'yes' if p.inside else 'NO'
            lines.append(
                f'| {p.mbps:g} | {_number(p.fps)} | {p.lower:.2f} | {p.upper:.2f} | {inside} | '
                f'{_number(p.naive_fps)} | {p.naive_bound:.2f} | '
                f"{_number(p.key_frame_ratio, 100, '.1f', ' %')} | "
                f"{_number(p.payload_bytes, 1e-6, '.2f', ' MB')} | "
                f"{_number(p.wire_bytes, 1e-6, '.2f', ' MB')} |")
        return '\n'.join(lines)


def latencies(statuses: Statuses, t_si: float) -> Measured:
    """
    Return the means over the key frames of a student's statuses, one per event.

    ``t_si`` is seconds per frame. A key frame's turnaround is the queue, the teacher, the
    training and, what remains, the network. Raise SweepError without an answered key frame.
    """
    answered = [b for a, b in pairwise(statuses)
                if b['updates_applied'] > a['updates_applied']]
    if not answered:
        raise SweepError('expected an answered key frame, got none: too few frames')
    last, steps = statuses[-1], sum(s['steps'] for s in answered)
    network = [s['turnaround_ms'] - s['queue_ms'] - s['teacher_ms'] - s['training_ms']
               for s in answered]
    return Measured(
        t_si, t_sd=1e-3 * sum(s['training_ms'] for s in answered) / steps if steps else 0.0,
        t_ti=1e-3 * sum(s['teacher_ms'] for s in answered) / len(answered),
        t_net=1e-3 * sum(network) / len(answered),
        s_net=last['bytes_up'] / last['key_frames'] + last['bytes_down'] / last['updates_applied'])


def point(mbps: float, measured: Measured, naive: Measured, limits: Limits) -> Point:
    """Return the equations' point: t_net grows by what s_net takes at ``mbps``."""
    at, naive_at = (replace(m, t_net=m.t_net + network_seconds(m.s_net, mbps))
                    for m in (measured, naive))
    return Point(mbps, *throughput_fps(at, limits), naive_throughput_fps(naive_at))


def measured_point(
    mbps: float, measured: Measured, naive: Measured, limits: Limits, shadow: LinkRun,
    naive_fps: float,
) -> Point:
    """
    Return the point with what two runs at ``mbps`` measured.

    t_sd and t_ti are those of the same run: they are the server's, whatever the link.
    """
    same_run, last = latencies(shadow.seen.statuses, measured.t_si), shadow.seen.statuses[-1]
    computed = point(mbps, replace(measured, t_sd=same_run.t_sd, t_ti=same_run.t_ti), naive,
                     limits)
    return replace(
        computed, fps=shadow.fps, inside=computed.lower <= shadow.fps <= computed.upper,
        naive_fps=naive_fps, key_frame_ratio=last['key_frames'] / len(shadow.seen.times),
        payload_bytes=int(last['bytes_up'] + last['bytes_down']), wire_bytes=shadow.wire_bytes)


def _number(value: float | None, factor: float = 1, form: str = '.2f', unit: str = '') -> str:
    return '-' if value is None else f'{value * factor:{form}}{unit}'
