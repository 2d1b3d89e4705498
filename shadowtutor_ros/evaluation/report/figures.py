# SPDX-License-Identifier: Apache-2.0
"""The report's pictures, as PNG files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.evaluation import bounds
from shadowtutor_ros.evaluation.bounds import Limits, Measured
from shadowtutor_ros.evaluation.run import Run
from shadowtutor_ros.evaluation.summary import RunSummary, Summaries
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.whole_file import replace_file

matplotlib.use('Agg')
from matplotlib import pyplot

_DPI = 110
_TICKS = 4.0  # percent from one setting's row of key frames to the next
_TITLE = 22  # pixels above a picture in the strip
_STRIP_COLUMNS = 4


def plot_miou_over_time(
    path: Path, video: str, runs: Mapping[str, Run], fps: float, metric: str = 'mIoU',
) -> None:
    """
    Plot every setting's metric over the video's time, as a mean over one second.

    Ticks below are the key frames of settings that teach.
    """
    figure, axes = pyplot.subplots(figsize=(10, 4.5), layout='constrained')
    below = 0.0
    for name, run in runs.items():
        miou = np.array([100 * record.miou for record in run.records])
        seconds = np.array([record.frame / fps for record in run.records])
        window = max(1, round(fps * len(miou) / (run.records[-1].frame + 1)))
        line, = axes.plot(seconds, _moving_mean(miou, window), linewidth=1.2,
                          label=f'{name}: {miou.mean():.1f} %')
        taught = seconds[[not np.isnan(record.metric) for record in run.records]]
        if taught.size:
            below -= _TICKS
            axes.plot(taught, np.full(taught.size, below), '|', color=line.get_color())
    axes.set(title=f'{video}: {metric} over time', xlabel='time in the video, s',
             ylabel=f'{metric} against the teacher, %, mean of 1 s',
             ylim=(below - _TICKS / 2, 102), yticks=range(0, 101, 20))
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc='center left', bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def plot_class_iou(
    path: Path, video: str, runs: Mapping[str, RunSummary], present: Collection[str],
    score: str = 'IoU',
) -> None:
    """Plot every setting's score of each class that is ``present`` as grouped bars."""
    classes = [name for name in next(iter(runs.values())).class_iou if name in present]
    figure, axes = pyplot.subplots(figsize=(10, 4), layout='constrained')
    width = 0.8 / len(runs)
    for i, (name, run) in enumerate(runs.items()):
        places = np.arange(len(classes)) + (i - (len(runs) - 1) / 2) * width
        axes.bar(places, [run.class_iou[c] for c in classes], width, label=name)
    axes.set(title=f'{video}: {score} per class', ylabel=f'{score} against the teacher, %',
             ylim=(0, 102), xticks=range(len(classes)), xticklabels=classes)
    axes.grid(axis='y', alpha=0.3)
    axes.legend(loc='center left', bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def plot_traffic(path: Path, summaries: Summaries, metric: str = 'mIoU') -> None:
    """Plot the metric against traffic per frame of all settings; without traffic on a line."""
    figure, axes = pyplot.subplots(figsize=(8, 5), layout='constrained')
    for marker, (video, runs) in zip('os^vDP*X' * len(summaries), summaries.items()):
        for i, (name, run) in enumerate(runs.items()):
            traffic = (run.bytes_up + run.bytes_down) / run.frames / 1024
            axes.plot(max(traffic, 0.1), run.miou, marker, color=f'C{i % 10}', markersize=8,
                      label=f'{video}: {name}' if len(summaries) > 1 else name)
    axes.set(title='Accuracy against traffic', xscale='log',
             xlabel='traffic, KiB per frame (log; no traffic stands at 0.1)',
             ylabel=f'{metric} against the teacher, %', ylim=(0, 102))
    axes.grid(alpha=0.3)
    axes.legend(loc='center left', bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def plot_throughput(
    path: Path, title: str, measured: Measured, limits: Limits, naive_bytes: float,
    points: Sequence[Mapping[str, Any]] = (),
) -> None:
    """
    Plot throughput over bandwidth with its bounds as a grey region (Fig. 4).

    ``measured.t_net`` is the network's time without its bandwidth. ``points`` are measured
    rows of a sweep with ``mbps``, ``fps`` and ``naive_fps``.
    """
    mbps = np.geomspace(4, 100, 200)
    region = np.array([bounds.throughput_fps(bounds.at_bandwidth(measured, m), limits)
                       for m in mbps])
    naive = [bounds.naive_throughput_fps(
        bounds.at_bandwidth(measured.with_bytes(naive_bytes), m)) for m in mbps]
    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout='constrained')
    axes.fill_between(mbps, region[:, 0], region[:, 1], color='0.85', label='bounds (eqs. 14, 15)')
    axes.plot(mbps, naive, '--', color='C3', label='naive offloading, computed')
    for key, style, label in (('fps', 'o', 'ShadowTutor, measured'),
                              ('naive_fps', 'xC3', 'naive offloading, measured')):
        known = [(row['mbps'], row[key]) for row in points if row.get(key) is not None]
        if known:
            axes.plot(*zip(*known), style, label=label)
    axes.set(title=title, xlabel='bandwidth, Mbps', ylabel='frames per second')
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc='center left', bbox_to_anchor=(1, 0.5))
    _save(figure, path)


def draw_strip(
    path: Path, frames: Mapping[int, NDArray[np.uint8]], labels: Mapping[int, NDArray[np.uint8]],
    runs: Mapping[str, Run], colours: Sequence[tuple[int, int, int]], width: int = 320,
) -> None:
    """Draw every example frame in rows of pictures: the frame, the teacher, each setting."""
    rows = []
    for index, frame in frames.items():
        pictures = {f'frame {index}': frame, 'teacher': overlay(frame, labels[index], colours, .6)}
        for name, run in runs.items():
            if index in run.masks:
                miou = next(r.miou for r in run.records if r.frame == index)
                pictures[f'{name}, {100 * miou:.0f} %'] = overlay(
                    frame, run.masks[index], colours, 0.6)
            else:
                pictures[f'{name}: left out'] = np.full_like(frame, 64)
        tiles = [_titled(picture, title, width) for title, picture in pictures.items()]
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _STRIP_COLUMNS)
        rows += [np.hstack(tiles[i:i + _STRIP_COLUMNS])
                 for i in range(0, len(tiles), _STRIP_COLUMNS)]
        rows.append(np.full((_TITLE // 2, rows[0].shape[1], 3), 255, np.uint8))
    replace_file(path, cv2.imencode('.png', np.vstack(rows[:-1]))[1].tobytes())


def _titled(picture: NDArray[np.uint8], title: str, width: int) -> NDArray[np.uint8]:
    height = round(picture.shape[0] * width / picture.shape[1])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    bar = np.full((_TITLE, width, 3), 32, np.uint8)
    cv2.putText(bar, title, (5, _TITLE - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (240, 240, 240), 1,
                cv2.LINE_AA)
    return np.vstack([bar, small]).astype(np.uint8)


def _moving_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean over the last ``window`` values, fewer at the beginning."""
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    means: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return means


def _save(figure: Any, path: Path) -> None:
    png = BytesIO()
    figure.savefig(png, dpi=_DPI)
    pyplot.close(figure)
    replace_file(path, png.getvalue())
