# SPDX-License-Identifier: Apache-2.0
"""The fleet as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from shadowtutor_ros.monitor.fleet import FleetView, StudentView, TutorView
from shadowtutor_ros.monitor.words import (
    Level,
    number,
    plain,
    seconds,
    size,
    sparkline,
    stride,
    student_state,
    tutor_state,
    who_does_how_much,
    workers,
)

T = TypeVar('T')

_STYLES = {Level.GOOD: 'green', Level.WARN: 'yellow', Level.BAD: 'bold red', Level.SILENT: 'dim'}
_BARS = 16
_LONGEST = 32  # characters of a name


@dataclass(frozen=True)
class _Column(Generic[T]):
    """A column that is shown on a terminal of ``width`` characters or more."""

    name: str
    cell: Callable[[T], str]
    width: int = 0
    left: bool = False


_STUDENTS: tuple[_Column[StudentView], ...] = (
    _Column('STUDENT', lambda s: plain(s.stream_id), left=True),
    _Column('STATE', lambda s: student_state(s)[0], left=True),
    _Column('TUTOR', lambda s: plain(s.tutor), 120, left=True),
    _Column('FPS', lambda s: number(s.rates.fps, 1)),
    _Column('DROPPED/s', lambda s: number(s.rates.dropped, 1), 125),
    _Column('ms/FRAME', lambda s: number(s.status.inference_ms), 100),
    _Column('STRIDE', lambda s: stride(s.status), 100),
    _Column('STALE', lambda s: seconds(s.status.staleness_seconds)),
    _Column('mIoU', lambda s: number(s.status.metric, 2)),
    _Column('LAST LESSONS', lambda s: sparkline((o.after for o in s.history), _BARS), 140, True),
    _Column('kbit/s UP', lambda s: number(s.rates.up)),
    _Column('DOWN', lambda s: number(s.rates.down)),
    _Column('TURN ms', lambda s: number(s.status.turnaround_ms), 110),
    _Column('FAILED', lambda s: str(s.status.failures), 100),
)
_TUTORS: tuple[_Column[TutorView], ...] = (
    _Column('TUTOR', lambda t: plain(t.node), left=True),
    _Column('STATE', lambda t: tutor_state(t)[0], left=True),
    _Column('TEACHER', lambda t: plain(t.status.teacher), left=True),
    _Column('DEVICE', lambda t: plain(t.status.device), 90, left=True),
    _Column('STREAMS', lambda t: f'{len(t.status.streams)}/{t.status.max_streams}'),
    _Column('WORKERS', lambda t: workers(t.status), 90),
    _Column('QUEUE', lambda t: str(t.status.queued)),
    _Column('LOAD', lambda t: f'{number(100 * t.status.load)} %'),
    _Column('STEPS', lambda t: f'{number(100 * t.status.steps_share)} %', 90),
    _Column('LESSONS', lambda t: str(t.status.key_frames), 90),
    _Column('FAILED', lambda t: str(t.status.failures), 90),
    _Column('GPU MEMORY', lambda t: size(t.status.gpu_memory), 100),
)


class FleetTables:
    """
    A rich renderable: one table of students, one of tutors, and what failed last.

    Names that nodes gave themselves are shown as they are, never as markup.
    """

    def __init__(self, view: FleetView) -> None:
        self._view = view

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view, width = self._view, options.max_width
        if view.empty:
            yield Text('nobody publishes a status yet')
            return
        parts: list[RenderableType] = []
        if view.students:
            parts.append(_table(_STUDENTS, view.students, student_state, width))
        if view.tutors:
            parts += ['', _table(_TUTORS, view.tutors, tutor_state, width)]
        shares = [(plain(s.stream_id), plain(text)) for s in view.students
                  if (text := who_does_how_much(s.status))]
        if shares:
            parts += ['', *(Text(f'{name} {text}') for name, text in shares)]
        details = [(name, plain(text)) for name, text in (
            *((s.stream_id, s.status.detail) for s in view.students),
            *((t.node, t.status.detail) for t in view.tutors)) if text]
        if details:
            parts += ['', *(Text(f'{plain(name)}: {text}', 'yellow') for name, text in details)]
        yield Group(*parts)


def _table(
    columns: Sequence[_Column[T]], rows: Sequence[T], state: Callable[[T], tuple[str, Level]],
    width: int,
) -> Table:
    shown = [column for column in columns if column.width <= width]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style='bold')
    for column in shown:
        table.add_column(Text(column.name), justify='left' if column.left else 'right',
                         no_wrap=True, max_width=_LONGEST, overflow='ellipsis')
    for row in rows:
        level = state(row)[1]
        silent = level is Level.SILENT
        table.add_row(*(Text(column.cell(row), _STYLES[level] if column.name == 'STATE' else '')
                        for column in shown), style='dim' if silent else '')
    return table
