# SPDX-License-Identifier: Apache-2.0
"""The figures of a run: what its frames come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
import math
from pathlib import Path
import statistics
from typing import Any

from shadowtutor_ros.evaluation.run import Run
from shadowtutor_ros.whole_file import replace_json


@dataclass(frozen=True)
class RunSummary:
    """
    One setting on one video.

    ``miou`` and ``class_iou`` are the task's metric and its classes' scores, ``ap50`` that of
    boxes, NaN for other tasks; they and ``key_frame_ratio`` are in percent; bytes are payload
    bytes of the whole run; the times are Table 1's, medians in milliseconds, ``t_sd`` of one step.
    ``video_fps`` is the rate of the frames that the setting sees. ``fps`` is the throughput:
    measured, or, where ``together`` is false, what the measured parts come to one after the
    other without a network.
    """

    miou: float
    key_frame_ratio: float
    steps_per_key_frame: float
    bytes_up: int
    bytes_down: int
    frames: int
    key_frames: int
    class_iou: dict[str, float]
    t_si: float
    t_sd: float
    t_ti: float
    t_net: float
    seconds: float
    fps: float
    together: bool
    video_fps: float
    ap50: float = math.nan

    @property
    def bytes_per_key_frame(self) -> float:
        """Bytes of one key frame in both directions: s_net."""
        return (self.bytes_up + self.bytes_down) / self.key_frames if self.key_frames else 0.0

    @property
    def mbps(self) -> float:
        """Traffic in megabits (10^6) per second when the video runs at its own rate."""
        return 8e-6 * (self.bytes_up + self.bytes_down) * self.video_fps / self.frames


Summaries = dict[str, dict[str, RunSummary]]  # by video, by setting


def summarise(run: Run, classes: Sequence[str], video_fps: float) -> RunSummary:
    """Return the figures of ``run``, which has at least one frame."""
    records = run.records
    key_frames = [r for r in records if r.key_frame]
    answered = [r for r in key_frames if not math.isnan(r.metric)]
    t_si, t_sd, t_ti, t_net = (_median([getattr(r, name) for r in records])
                               for name in ('t_si', 't_sd', 't_ti', 't_net'))
    steps = sum(r.steps for r in answered)
    together = not math.isnan(run.seconds)
    seconds = run.seconds if together else 1e-3 * (
        _times(0 if math.isnan(t_si) else len(records), t_si)  # naive has no student
        + _times(steps, t_sd) + _times(len(key_frames), t_ti))
    return RunSummary(
        miou=100 * _mean([r.miou for r in records]),
        key_frame_ratio=100 * len(key_frames) / len(records),
        steps_per_key_frame=steps / len(answered) if answered else 0.0,
        bytes_up=sum(r.bytes_up for r in records), bytes_down=sum(r.bytes_down for r in records),
        frames=len(records), key_frames=len(key_frames),
        class_iou={name: 100 * _mean([r.iou[i] for r in records])
                   for i, name in enumerate(classes)},
        t_si=t_si, t_sd=t_sd, t_ti=t_ti, t_net=t_net, seconds=seconds,
        fps=len(records) / seconds if seconds else math.nan, together=together,
        video_fps=video_fps, ap50=100 * run.ap50)


def write_summary(path: Path, summaries: Summaries, about: dict[str, Any]) -> None:
    """Write ``{"videos": {name: {setting: figures}}}`` and what the evaluation was about."""
    videos = {video: {name: asdict(summary) for name, summary in settings.items()}
              for video, settings in summaries.items()}
    replace_json(path, _finite({**about, 'videos': videos}))


def _finite(value: Any) -> Any:
    """Return ``value`` with null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _known(values: Sequence[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def _mean(values: Sequence[float]) -> float:
    known = _known(values)
    return math.fsum(known) / len(known) if known else math.nan


def _median(values: Sequence[float]) -> float:
    known = _known(values)
    return statistics.median(known) if known else math.nan


def _times(count: int, each: float) -> float:
    """Return ``count * each``, 0 where there is nothing to count."""
    return count * each if count else 0.0
