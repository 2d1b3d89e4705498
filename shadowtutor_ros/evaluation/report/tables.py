# SPDX-License-Identifier: Apache-2.0
"""Tables 2-7 in the paper's form, from the figures of all runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
import math

from shadowtutor_ros.evaluation import paper
from shadowtutor_ros.evaluation.report.terms import Terms, terms_of
from shadowtutor_ros.evaluation.setting import DISTILL, Setting
from shadowtutor_ros.evaluation.summary import RunSummary, Summaries
from shadowtutor_ros.tasks.table import SEGMENTATION

_MISSING = '-'
_OTHER = ('The paper: LVS videos at 720p, Mask R-CNN as teacher, a student pre-trained on COCO. '
          'Compare the order of the settings, not the digits.')


@dataclass(frozen=True)
class Table:
    """A table with its ``note``; ``rows`` begin with their name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str

    def markdown(self) -> str:
        """Return the table as Markdown with aligned columns."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        padded = ['| ' + ' | '.join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))) + ' |' for line in lines]
        rule = '|' + '|'.join('-' * (width + 2) if i == 0 else '-' * (width + 1) + ':'
                              for i, width in enumerate(widths)) + '|'
        return '\n'.join([f'### {self.title}', '', padded[0], rule, *padded[1:], '', self.note])


def make_tables(
    summaries: Summaries, settings: Sequence[Setting], present: Mapping[str, Collection[str]],
    task: str = SEGMENTATION,
) -> list[Table]:
    """
    Return the tables that the settings allow, in the paper's order, and scores per class.

    ``present`` are the names of the classes that each video's labels have.
    """
    terms = terms_of(task)
    whole = [s for s in settings if not s.resample_fps]
    resampled = [s for s in settings if s.resample_fps]
    distilling = [s for s in whole if s.kind == DISTILL]
    tables = []
    if distilling:
        tables.append(_distillation(summaries, distilling))
    if whole:
        tables += [_throughput(summaries, whole), _data(summaries, whole),
                   _traffic(summaries, whole), _accuracy(summaries, whole, terms)]
    if resampled:
        tables.append(_resampled(summaries, resampled, terms))
    if any(not math.isnan(r.ap50) for runs in summaries.values() for r in runs.values()):
        tables.append(_precision(summaries, settings))
    tables.append(_per_class(summaries, settings, present, terms))
    return tables


def _distillation(summaries: Summaries, settings: Sequence[Setting]) -> Table:
    names = [s.name for s in settings]
    steps = _averages(summaries, names, lambda r: r.steps_per_key_frame)
    return Table(
        'Table 2: distillation', ('', *names), (
            _row('One step, ms', names, _averages(summaries, names, lambda r: r.t_sd), '.0f'),
            _row('  the paper (GPU)', names, paper.STEP_MS, '.0f'),
            _row('Mean steps per key frame', names, steps, '.2f'),
            _row('  the paper', names, paper.MEAN_STEPS, '.2f')),
        'One step on this machine, median; the paper trains on an RTX 2080 Ti at 720p.')


def _throughput(summaries: Summaries, settings: Sequence[Setting]) -> Table:
    names = [s.name for s in settings]
    together = any(r.together for video in summaries.values() for r in video.values())
    rows = [(video, *(_fps_cell(runs.get(name)) for name in names))
            for video, runs in summaries.items()]
    note = ('FPS (seconds). With *: the wall time of the real nodes; else the measured parts '
            '(student, teacher, distillation steps) one after the other without a network. '
            if together else
            'FPS (seconds): the measured parts (student, teacher, distillation steps) one after '
            'the other on this machine, without a network. ')
    return Table('Table 3: throughput', ('', *names), (
        *rows, _row('  the paper', names, paper.FPS, '.2f')),
        note + "The paper's is a Jetson Nano with an RTX 2080 Ti at 90 Mbps.")


def _data(summaries: Summaries, settings: Sequence[Setting]) -> Table:
    names = [s.name for s in settings if s.kind != 'wild']
    up = _averages(summaries, names, lambda r: r.bytes_up / max(1, r.key_frames))
    down = _averages(summaries, names, lambda r: r.bytes_down / max(1, r.key_frames))
    return Table(
        'Table 4: data of one key frame, KiB', ('Direction', *names), (
            _row('To server', names, up, '.1f', 1 / 1024),
            _row('  the paper, 720p', names, paper.BYTES_UP, '.1f', 1 / 1024),
            _row('To client', names, down, '.1f', 1 / 1024),
            _row('  the paper, 720p', names, paper.BYTES_DOWN, '.1f', 1 / 1024),
            _row('Total', names, {n: up[n] + down[n] for n in names}, '.1f', 1 / 1024)),
        'Payload bytes. Raw sizes follow the size of the video; the paper prints MiB as MB.')


def _traffic(summaries: Summaries, settings: Sequence[Setting]) -> Table:
    names = [s.name for s in settings if s.kind != 'wild']
    ratios = [_row(video, names, {n: r.key_frame_ratio for n, r in runs.items()}, '.2f')
              for video, runs in summaries.items()]
    mbps = [_row(video, names, {n: r.mbps for n, r in runs.items()}, '.2f')
            for video, runs in summaries.items()]
    return Table(
        'Table 5: key frames and traffic', ('', *names), (
            _heading('Key-frame ratio, %', names), *ratios,
            _row('  the paper', names, paper.KEY_FRAME_RATIO, '.2f'),
            _heading('Traffic, Mbps', names), *mbps,
            _row('  the paper', names, paper.MBPS, '.2f')),
        "Traffic is what the video needs at its own frame rate; the paper's is at its system's "
        f'own 6.5 FPS (naive: 2.1 FPS). {_OTHER}')


def _accuracy(summaries: Summaries, settings: Sequence[Setting], terms: Terms) -> Table:
    names = [s.name for s in settings]
    return Table(
        f'Table 6: {terms.metric}, %', ('', *names), (
            *_each_and_average(summaries, names, lambda r: r.miou),
            *_papers(names, paper.MIOU, terms)),
        f'Against the teacher, mean over all frames. {terms.meaning} Naive is 100 by definition; '
        f'what JPEG does to the teacher is not counted.{f" {_OTHER}" if terms.papers else ""}')


def _papers(
    names: Sequence[str], values: Mapping[str, float], terms: Terms,
) -> list[tuple[str, ...]]:
    """Return the row of the paper's accuracy, if it is of the same metric."""
    return [_row('  the paper', names, values, '.2f')] if terms.papers else []


def _precision(summaries: Summaries, settings: Sequence[Setting]) -> Table:
    names = [s.name for s in settings]
    return Table(
        'AP50, %', ('', *names), (*_each_and_average(summaries, names, lambda r: r.ap50),),
        'Average precision at an overlap of 0.5 over all frames of a video, as COCO has it, mean '
        "over the teacher's classes there. Every box counts, however unsure.")


def _resampled(
    summaries: Summaries, settings: Sequence[Setting], terms: Terms,
) -> Table:
    names = [s.name for s in settings]
    return Table(
        'Table 7: fewer frames per second', ('', *names), (
            _heading(f'{terms.metric}, %', names),
            *_each_and_average(summaries, names, lambda r: r.miou),
            *_papers(names, paper.MIOU_7FPS, terms),
            _heading('Key-frame ratio, %', names),
            *_each_and_average(summaries, names, lambda r: r.key_frame_ratio),
            _row('  the paper', names, paper.KEY_FRAME_RATIO_7FPS, '.2f')),
        'The same stretch of video with frames left out; the paper takes 5,000 frames of the '
        f'resampled videos, from 25-30 FPS. {_OTHER}')


def _per_class(
    summaries: Summaries, settings: Sequence[Setting], present: Mapping[str, Collection[str]],
    terms: Terms,
) -> Table:
    names = [s.name for s in settings]
    rows: list[tuple[str, ...]] = []
    for video, runs in summaries.items():
        rows.append(_heading(video, names))
        classes = next(iter(runs.values())).class_iou
        rows += [_row(f'  {c}', names, {n: r.class_iou[c] for n, r in runs.items()}, '.1f')
                 for c in classes if c in present[video]]
    return Table(f'{terms.of_class} per class, %', ('', *names), tuple(rows),
                 f'{terms.of_class_meaning} Classes that no label of a video has are left out '
                 f'here, not in the {terms.metric} of frames whose answer has them.')


def _each_and_average(
    summaries: Summaries, names: Sequence[str], value: Callable[[RunSummary], float],
) -> list[tuple[str, ...]]:
    rows = [_row(video, names, {n: value(r) for n, r in runs.items()}, '.2f')
            for video, runs in summaries.items()]
    if len(rows) > 1:
        rows.append(_row('average', names, _averages(summaries, names, value), '.2f'))
    return rows


def _averages(
    summaries: Summaries, names: Sequence[str], value: Callable[[RunSummary], float],
) -> dict[str, float]:
    """Return the mean over the videos of every setting."""
    averages = {}
    for name in names:
        values = [value(runs[name]) for runs in summaries.values() if name in runs]
        known = [v for v in values if not math.isnan(v)]
        averages[name] = math.fsum(known) / len(known) if known else math.nan
    return averages


def _row(
    title: str, names: Sequence[str], values: Mapping[str, float], form: str, scale: float = 1.0,
) -> tuple[str, ...]:
    cells = (values.get(name, math.nan) * scale for name in names)
    return (title, *(_MISSING if math.isnan(v) else format(v, form) for v in cells))


def _heading(title: str, names: Sequence[str]) -> tuple[str, ...]:
    return (title, *('' for _ in names))


def _fps_cell(run: RunSummary | None) -> str:
    if run is None or math.isnan(run.fps):
        return _MISSING
    return f'{run.fps:.2f} ({run.seconds:.1f}){"*" if run.together else ""}'
