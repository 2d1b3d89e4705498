# SPDX-License-Identifier: Apache-2.0
"""What is said of one run over the link: a row, from what the student's statuses tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
import itertools

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.tasks.segmentation.metric import mean_iou_of_masks

Status = Mapping[str, float]
_TUTORS = ('queue_ms', 'teacher_ms', 'training_ms')


@dataclass
class Row:
    """
    One run. None is not measured; what is asked of the link stands first, with the parameters
    that the ``student`` node was given.

    ``turnaround_ms`` are of answered key frames, from sending to the update's arrival;
    ``link_ms`` are the same without the tutor's queue, teacher and training. ``failed`` counts
    the key frames without a usable answer. ``wire_bytes`` are all Ethernet frames of both sides
    meanwhile, lost ones too, ``wire_per_payload`` says how many times the payload that is.
    ``discovery_s`` runs from the student's entry into ROS to its first weights, None if it got
    none in time. ``recovery_s`` runs from the end of an outage to the next update. ``miou`` is
    over ``frames``. Packets are counted since the link was last changed.
    """

    kind: str
    loss_percent: float
    rate_mbps: float | None
    profile: str
    student: dict[str, object] = field(default_factory=dict)
    queue_bytes: int | None = None
    burst_length: int | None = None
    outage_s: float | None = None
    key_frames: int = 0
    failed: int = 0
    turnaround_ms_p50: float | None = None
    turnaround_ms_p95: float | None = None
    turnaround_ms_max: float | None = None
    link_ms_p50: float | None = None
    link_ms_p95: float | None = None
    link_ms_max: float | None = None
    payload_bytes_up: int = 0
    payload_bytes_down: int = 0
    wire_bytes: int = 0
    wire_per_payload: float | None = None
    packets_lost: int = 0
    packets_dropped: int = 0
    seconds: float = 0.0
    discovery_s: float | None = None
    recovery_s: float | None = None
    miou: float | None = None
    frames: int | None = None
    note: str = ''


def ended(status: Status) -> int:
    """Return how many key frames have come to an end, good or bad."""
    return int(status['updates_applied'] + status['failures'])


def fill_in(row: Row, statuses: Sequence[Status], wire_bytes: int) -> None:
    """Put into ``row`` what a student's statuses of the whole run say, first to last."""
    if not statuses:
        return
    last = statuses[-1]
    row.key_frames, row.failed = ended(last), int(last['failures'])
    row.payload_bytes_up, row.payload_bytes_down = int(last['bytes_up']), int(last['bytes_down'])
    row.wire_bytes = wire_bytes
    if payload := row.payload_bytes_up + row.payload_bytes_down:
        row.wire_per_payload = wire_bytes / payload
    busy = [status['time'] for status in statuses if status['key_frames']]
    row.seconds = busy[-1] - busy[0] if busy else 0.0
    answered = [after for before, after in itertools.pairwise(statuses)
                if after['updates_applied'] > before['updates_applied']]
    for name, own in (('turnaround', ()), ('link', _TUTORS)):
        times = [status['turnaround_ms'] - sum(status[part] for part in own)
                 for status in answered]
        for suffix, value in percentiles(times).items():
            setattr(row, f'{name}_ms_{suffix}', value)


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95 (between neighbours in proportion) and max; nothing of nothing."""
    if not values:
        return {}
    return {'p50': float(np.percentile(values, 50)), 'p95': float(np.percentile(values, 95)),
            'max': max(values)}


def held_miou(
    masks: Mapping[int, NDArray[np.uint8]], label: Callable[[int], NDArray[np.uint8]],
    frames: int, background: int,
) -> float:
    """
    Return the mean over all frames of the mIoU (0-1) against ``label(index)``.

    A frame without a mask is judged by the last mask before it, those before the first by
    background everywhere, which is class number ``background``, the last.
    """
    shown = np.full_like(label(0), background)
    total = 0.0
    for index in range(frames):
        shown = masks.get(index, shown)
        total += mean_iou_of_masks(shown, label(index), background + 1)
    return total / frames


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ('run', lambda r: r.kind),
    ('loss', lambda r: f'{r.loss_percent:g} %'),
    ('Mbps', lambda r: '-' if r.rate_mbps is None else f'{r.rate_mbps:g}'),
    ('profile', lambda r: r.profile),
    ('key frames', lambda r: str(r.key_frames)),
    ('failed', lambda r: str(r.failed)),
    ('turnaround p50/p95/max, ms', lambda r: _times(
        r.turnaround_ms_p50, r.turnaround_ms_p95, r.turnaround_ms_max)),
    ('of which link, ms', lambda r: _times(r.link_ms_p50, r.link_ms_p95, r.link_ms_max)),
    ('KB up', lambda r: f'{r.payload_bytes_up / 1e3:.0f}'),
    ('KB down', lambda r: f'{r.payload_bytes_down / 1e3:.0f}'),
    ('wire / payload', lambda r: _number(r.wire_per_payload, '.2f')),
    ('discovery, s', lambda r: _number(r.discovery_s, '.1f')),
    ('recovery, s', lambda r: _number(r.recovery_s, '.1f')),
    ('mIoU, %', lambda r: _number(r.miou and 100 * r.miou, '.1f')),
    ('note', lambda r: r.note),
)


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [[title for title, _ in _COLUMNS], ['---' for _ in _COLUMNS],
             *([cell(row) for _, cell in _COLUMNS] for row in rows)]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _times(*milliseconds: float | None) -> str:
    return '-' if None in milliseconds else ' / '.join(f'{ms:.0f}' for ms in milliseconds)


def _number(value: float | None, form: str) -> str:
    return '-' if value is None else format(value, form)
