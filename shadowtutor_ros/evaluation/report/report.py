# SPDX-License-Identifier: Apache-2.0
"""From results to ``report.html``, ``report.md`` and PNGs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
import json
import logging
import math
from pathlib import Path
import platform
import re

import torch

from shadowtutor_ros.evaluation.bounds import Limits, Measured
from shadowtutor_ros.evaluation.evaluate import Results
from shadowtutor_ros.evaluation.report import figures
from shadowtutor_ros.evaluation.report.page import Picture, write_page
from shadowtutor_ros.evaluation.report.plainly import plainly
from shadowtutor_ros.evaluation.report.tables import make_tables
from shadowtutor_ros.evaluation.report.terms import terms_of
from shadowtutor_ros.evaluation.setting import DISTILL, NAIVE, Setting
from shadowtutor_ros.evaluation.summary import RunSummary
from shadowtutor_ros.tasks.drawing import drawing_of, perfect_answer
from shadowtutor_ros.tasks.table import task_named
from shadowtutor_ros.whole_file import replace_file

_LOG = logging.getLogger(__name__)
_TITLE = 'ShadowTutor: evaluation'
SWEEP = 'sweep.json'  # left in the same folder by `shadowtutor sweep`


def write_report(results: Results) -> str:
    """Write all files into the evaluation's folder and return the tables as Markdown."""
    out = results.evaluation.out
    present = _present(results)
    tables = make_tables(
        results.summaries, results.evaluation.settings, present, results.evaluation.task)
    facts, said = _facts(results), plainly(results)
    markdown = '\n\n'.join(table.markdown() for table in tables) + '\n'
    head = '\n'.join(f'- {name}: {value}' for name, value in facts)
    replace_file(out / 'report.md', '\n\n'.join(
        (f'# {_TITLE}', ' '.join(said), head, markdown)).encode())
    write_page(out / 'report.html', _TITLE, said, facts, tables,
               _pictures(results, present))
    return markdown


def _present(results: Results) -> dict[str, list[str]]:
    """Return for each video the names of the classes that its labels have and that have scores."""
    names = results.evaluation.classes.names
    return {video: [name for name in (names[index] for index in sorted(clip.present()))
                    if not all(math.isnan(run.class_iou[name])
                               for run in results.summaries[video].values())]
            for video, clip in results.labelled.items()}


def _facts(results: Results) -> list[tuple[str, str]]:
    evaluation = results.evaluation
    videos = [f'{name}: {clip.count} frames of {clip.size[1]}x{clip.size[0]} at '
              f'{clip.clip.fps:g} FPS, labelled by {clip.teacher}'
              for name, clip in results.labelled.items()]
    device = evaluation.first_of(evaluation.settings[0]).device
    mode = ('the real nodes over DDS on one machine' if evaluation.nodes is not None
            else 'one process, no ROS, no network')
    return [('Videos', '; '.join(videos)), ('Run in', mode),
            ('Machine', f'{platform.machine()}, torch {torch.__version__} on '
                        f'{device} with {torch.get_num_threads()} threads'),
            ('Classes', f'{evaluation.classes.name}: {", ".join(evaluation.classes.names)}'),
            ('Settings', '; '.join(f'{s.name}: {s.title}' for s in evaluation.settings))]


def _pictures(results: Results, present: Mapping[str, Collection[str]]) -> list[Picture]:
    out, settings = results.evaluation.out, results.evaluation.settings
    task, classes = task_named(results.evaluation.task), results.evaluation.classes
    metric = terms_of(results.evaluation.task).metric
    pictures = []
    for video, runs in results.runs.items():
        stem = re.sub(r'[^\w.-]', '_', video)
        clip = results.labelled[video]
        strip, over_time, per_class = (
            out / f'{kind}_{stem}.png' for kind in ('frames', 'miou', 'classes'))
        examples = {index for run in runs.values() for index in run.masks}
        frames = {i: frame for i, frame in enumerate(clip.clip) if i in examples}
        labels = {i: drawing_of(task, perfect_answer(task, clip.label(i), len(classes)),
                                clip.size, len(classes)) for i in frames}
        figures.draw_strip(strip, frames, labels, runs, classes.colours)
        figures.plot_miou_over_time(over_time, video, runs, clip.clip.fps, metric)
        figures.plot_class_iou(per_class, video, results.summaries[video], present[video],
                               terms_of(results.evaluation.task).of_class)
        pictures += [
            Picture(strip, f'{video}: frames, the teacher, and every setting with its {metric}'),
            Picture(over_time, f'{video}: {metric} over time, with the mean over all frames. '
                    'Ticks below are key frames that were taught. A dip is a cut or something '
                    'new: the student is wrong until the next key frame has been answered, '
                    'max_stride frames later at most'),
            Picture(per_class, f'{video}: score per class, mean over the frames that have it, of '
                    'the classes that the labels have')]
        throughput = out / f'throughput_{stem}.png'
        if (caption := _throughput(throughput, results, video, settings)) is not None:
            pictures.append(Picture(throughput, caption))
    figures.plot_traffic(out / 'traffic.png', results.summaries, metric)
    return [*pictures,
            Picture(out / 'traffic.png', f'{metric} against payload traffic per frame')]


def _throughput(
    path: Path, results: Results, video: str, settings: Sequence[Setting],
) -> str | None:
    """Plot Fig. 4 by the first distilling setting whose times are all known; say which."""
    summaries = results.summaries[video]
    for setting in settings:
        if setting.kind == DISTILL and (
                measured := measured_of(summaries[setting.name])) is not None:
            break
    else:
        return None
    limits = Limits(setting.schedule.min_stride, setting.schedule.max_stride,
                    setting.distill.max_updates)
    height, width = results.labelled[video].size
    naive = next((summaries[s.name].bytes_per_key_frame for s in settings if s.kind == NAIVE),
                 4.0 * height * width)
    figures.plot_throughput(path, f'{video}: throughput over bandwidth ({setting.name})',
                            measured, limits, naive, _swept(results.evaluation.out / SWEEP))
    return (f'{video}: throughput over bandwidth by equations 14 and 15 with the times and bytes '
            f'of {setting.name}: {measured.t_si * 1e3:.0f} ms a frame, {measured.t_sd * 1e3:.0f} '
            f'ms a step, {measured.t_ti * 1e3:.0f} ms the teacher, '
            f'{measured.s_net / 1024:.0f} KiB a key frame')


def _swept(path: Path) -> list[dict[str, float | None]]:
    """Return the points that were measured, none where the file is damaged."""
    try:
        points = json.loads(path.read_bytes())['points']
        return [{key: None if point[key] is None else float(point[key])
                 for key in ('mbps', 'fps', 'naive_fps')} for point in points]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning('%s is damaged and left out: %r', path, error)
        return []


def measured_of(run: RunSummary) -> Measured | None:
    """Return Table 1's values of a run, None where one is not known; no network counts as 0."""
    times = [run.t_si, run.t_sd, run.t_ti]
    if any(math.isnan(t) for t in times):
        return None
    t_net = 0.0 if math.isnan(run.t_net) else max(0.0, run.t_net)
    t_si, t_sd, t_ti = (1e-3 * t for t in times)
    return Measured(t_si, t_sd, t_ti, 1e-3 * t_net, run.bytes_per_key_frame)
