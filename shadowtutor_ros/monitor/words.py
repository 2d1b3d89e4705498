# SPDX-License-Identifier: Apache-2.0
"""Figures and states as short texts, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
import math
from typing import Any

from shadowtutor_ros.monitor.fleet import StudentView, TutorView

NOTHING = '–'  # noqa: RUF001
_OLDISH, _OLD = 2.5, 5.0  # strides
_BLOCKS = '▁▂▃▄▅▆▇█'

# As in StudentStatus.
WAITING = 0
RUNNING = 1
INACTIVE = 2
LINK_BUSY = 1
LINK_FAILED = 2
WORKS = 'works'  # a DeviceShare's state that goes without saying


class Level(Enum):
    """How a state is to be taken."""

    GOOD = 'good'
    WARN = 'warn'
    BAD = 'bad'
    SILENT = 'silent'


def student_state(student: StudentView) -> tuple[str, Level]:
    """Return what a student is doing."""
    if student.silent:
        return f'silent {seconds(student.idle)}', Level.SILENT
    if student.status.state == INACTIVE:
        return 'inactive', Level.WARN
    if student.status.state == WAITING:
        return 'no weights', Level.WARN
    if student.status.link == LINK_FAILED:
        return 'link failed', Level.BAD
    if student.tutor_silent:
        return 'tutor silent', Level.WARN
    return ('learning' if student.status.link == LINK_BUSY else 'running'), Level.GOOD


def staleness(status: Any) -> Level:
    """Return how to take the age of a student's weights: a stride or two are as it should be."""
    if status.state != RUNNING or not status.updates_applied:
        return Level.GOOD
    strides = status.staleness_frames / max(1, status.stride)
    return Level.BAD if strides > _OLD else Level.WARN if strides > _OLDISH else Level.GOOD


def tutor_state(tutor: TutorView) -> tuple[str, Level]:
    """Return what a tutor is doing."""
    if tutor.silent:
        return f'silent {seconds(tutor.idle)}', Level.SILENT
    if not tutor.status.active:
        return 'inactive', Level.WARN
    if tutor.status.detail:
        return 'lesson failed', Level.BAD
    return ('teaching' if tutor.status.load > 0 or tutor.status.queued else 'idle'), Level.GOOD


def stride(status: Any) -> str:
    """Return a student's stride in frames, and whether its tutor imposes it."""
    imposed = status.tutor_stride_floor > 0 and status.stride <= status.tutor_stride_floor
    return f'{status.stride} (tutor)' if imposed else str(status.stride)


def limits(status: Any) -> str:
    """Return what a loaded tutor leaves its robots, nothing while it leaves everything."""
    parts = []
    if status.steps_share < 1:
        parts.append(f'{100 * status.steps_share:.0f} % of the steps')
    if held_back := sum(stream.stride_floor > 0 for stream in status.streams):
        parts.append(f'{held_back} less often than they want')
    return ''.join(f', {part}' for part in parts)


def workers(status: Any) -> str:
    """Return how many workers of a tutor can teach, and of how many; a dash where it does."""
    if not status.workers:
        return NOTHING
    return f'{sum(worker.ready for worker in status.workers)}/{len(status.workers)}'


def who_is_where(status: Any) -> list[str]:
    """Return a line for every worker of a tutor: its place, load and streams."""
    return [
        f'{worker.name} ({worker.where}): load {100 * worker.load:.0f} %, '
        + (', '.join(stream.stream_id for stream in status.streams
                     if stream.worker == worker.name) or 'no streams')
        if worker.ready else f'{worker.name}: starts' for worker in status.workers]


def who_does_how_much(status: Any) -> str:
    """Return how a student shares its frames, and each device's part; nothing if it does not."""
    if not status.devices:
        return ''
    frames = sum(device.frames for device in status.devices) or 1
    return f'sharing ({status.share}): ' + ', '.join(
        f'{device.name} {100 * device.frames / frames:.0f} %{_pace(device)}'
        + ('' if device.state == WORKS else f' {device.state}') for device in status.devices)


def _pace(device: Any) -> str:
    """Return what one frame takes at a device, in parentheses; nothing for what is not known."""
    known = [f'{number(value)} ms {words}' for value, words in (
        (device.service_ms, 'a frame'), (device.link_ms, 'on the way')) if value > 0]
    return f' ({", ".join(known)})' if known else ''


def number(value: float, digits: int = 0) -> str:
    """Return a number; a dash for NaN."""
    return f'{value:.{digits}f}' if math.isfinite(value) else NOTHING


def seconds(value: float) -> str:
    """Return a duration in its natural unit; a dash for NaN."""
    if not math.isfinite(value):
        return NOTHING
    if value < 9.95:
        return f'{value:.1f} s'
    if value < 119.5:
        return f'{value:.0f} s'
    return f'{value / 60:.0f} min' if value < 119.5 * 60 else f'{value / 3600:.0f} h'


def size(value: int) -> str:
    """Return bytes of memory; a dash for none."""
    if not value:
        return NOTHING
    return f'{value / 2**30:.1f} GiB' if value >= 2**30 else f'{value / 2**20:.0f} MiB'


def plain(text: str) -> str:
    """Return what somebody else has written without line breaks and control characters."""
    return ''.join(c if c.isprintable() else '\N{REPLACEMENT CHARACTER}'
                   for c in ' '.join(text.split()))


def sparkline(values: Iterable[float], width: int) -> str:
    """Return the last ``width`` values, 0-1, as bars; a space for NaN."""
    last = list(values)[-width:]
    top = len(_BLOCKS) - 1
    return ''.join(_BLOCKS[round(top * min(1.0, max(0.0, value)))] if math.isfinite(value) else ' '
                   for value in last)
