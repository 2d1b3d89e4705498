# SPDX-License-Identifier: Apache-2.0
"""One setting on one video over the real nodes and DDS: for throughput and traffic."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.evaluation.labels import LabelledClip
from shadowtutor_ros.evaluation.record import FrameRecord
from shadowtutor_ros.evaluation.run import judge, OnFrame, Run, RunError
from shadowtutor_ros.evaluation.setting import DISTILL, Setting
from shadowtutor_ros.harness.trial import run_trial, Trial
from shadowtutor_ros.harness.two_machines import TwoMachines
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.nodes.teacher_node import TEACHER_PARAMETERS
from shadowtutor_ros.wire.messages import stamp_from_msg

NAIVE_FRAMES = 50


@dataclass(frozen=True)
class Nodes:
    """``tutor`` are the tutor's parameters (teacher, classes, seed, ...), ``logs`` a folder."""

    tutor: Mapping[str, object]
    logs: Path


def run_over_ros(
    labelled: LabelledClip, setting: Setting, nodes: Nodes, info: StudentInfo,
    examples: Collection[int], on_frame: OnFrame,
) -> Run:
    """
    Run a distilling setting; every frame reaches the student, which waits for its answer.

    ``info`` is the tutor's first student's.

    Raise RunError when a key frame fails or the setting cannot run so, TrialError or
    ProcessDied when the nodes do.
    """
    if setting.kind != DISTILL or setting.resample_fps:
        raise RunError(f'{setting.name}: expected a setting that distils on every frame of the '
                       'video, others run in one process only')
    run = Run()

    def on_mask(index: int, mask: NDArray[np.uint8], key_frames: int) -> None:
        record = FrameRecord(index, math.nan)
        judge(record, mask, labelled.label(index), labelled.size, info)
        run.records.append(record)
        if index in examples:
            run.masks[index] = mask
        on_frame(index)

    trial = Trial(labelled.clip.path, labelled.clip.fps, labelled.count,
                    {**setting.tutor_parameters(), **nodes.tutor}, setting.student_parameters(),
                    labelled.clip.topic)
    result = run_trial(trial, nodes.logs, on_mask)
    if result.last.failures:
        raise RunError(f'{labelled.clip.path}: {setting.name}: {result.last.failures} key '
                       f'frames failed: {result.last.detail}; see {nodes.logs}')
    run.seconds = result.seconds
    fill_in(run.records, result.statuses, labelled.clip.fps)
    return run


def naive_seconds(labelled: LabelledClip, nodes: Nodes) -> float:
    """
    Return the time of the whole clip when every frame goes to the teacher and is waited for.

    Measured over its first frames, at most NAIVE_FRAMES. Raise TrialError or ProcessDied.
    """
    teacher = {name: value for name, value in nodes.tutor.items()
               if name in {parameter.name for parameter in TEACHER_PARAMETERS}}
    trial = Trial(labelled.clip.path, labelled.clip.fps, min(labelled.count, NAIVE_FRAMES),
                    teacher, topic=labelled.clip.topic)
    return labelled.count / TwoMachines(None).naive(trial, nodes.logs).fps


def fill_in(
    records: Sequence[FrameRecord], statuses: Sequence[StudentStatus], fps: float,
) -> None:
    """Put what the student's statuses say, one per event, into the rows of the frames."""
    before = StudentStatus()
    for status in statuses:
        key_frame = round(stamp_from_msg(status.key_frame_stamp) * fps * 1e-9)
        if status.key_frames > before.key_frames:
            records[key_frame].key_frame = True
            records[key_frame].bytes_up = status.bytes_up - before.bytes_up
        if status.updates_applied > before.updates_applied:
            _learn(records[key_frame], status, status.bytes_down - before.bytes_down)
            for record in records[status.frames_processed:]:
                record.staleness = record.frame - key_frame
        if status.frames_processed > before.frames_processed:
            records[status.frames_processed - 1].t_si = status.inference_ms
        before = status


def _learn(record: FrameRecord, status: StudentStatus, bytes_down: int) -> None:
    record.bytes_down = bytes_down
    record.steps = status.steps
    record.initial_metric, record.metric = status.initial_metric, status.metric
    record.t_ti = status.teacher_ms
    if status.steps:
        record.t_sd = status.training_ms / status.steps
    record.t_net = (status.turnaround_ms - status.queue_ms - status.teacher_ms
                    - status.training_ms)
