# SPDX-License-Identifier: Apache-2.0
"""One setting on one video in one process: deterministic delays, no ROS, no network."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
import math
import time
from typing import Any

import cv2
from numpy.typing import NDArray
import torch

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.evaluation.clip import resample
from shadowtutor_ros.evaluation.labels import LabelledClip
from shadowtutor_ros.evaluation.record import FrameRecord
from shadowtutor_ros.evaluation.setting import NAIVE, Setting, WILD
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.link import Link, LocalLink
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import Scheduler
from shadowtutor_ros.tasks.detection.average_precision import AveragePrecision
from shadowtutor_ros.tasks.detection.boxes import boxes_of
from shadowtutor_ros.tasks.detection.target import objects_of
from shadowtutor_ros.tasks.drawing import drawing_of, perfect_answer
from shadowtutor_ros.tasks.table import DETECTION, task_named
from shadowtutor_ros.teacher.protocol import Labelling, Teacher
from shadowtutor_ros.wire.key_frame import encode_frame, RAW

OnFrame = Callable[[int], object]


class RunError(ShadowTutorError):
    """A setting cannot be evaluated on a video."""


@dataclass
class Run:
    """
    The frames of one setting on one video.

    ``masks`` are those of the example frames, HxW class ids, or what shows the answers of another
    task. ``seconds`` is the wall time of the whole system, NaN where the parts did not run
    together; ``ap50`` the average precision of boxes, 0-1, NaN for other tasks.
    """

    records: list[FrameRecord] = field(default_factory=list)
    masks: dict[int, Mask] = field(default_factory=dict)
    seconds: float = math.nan
    ap50: float = math.nan


def run_in_process(
    labelled: LabelledClip, setting: Setting, first: Student, examples: Collection[int],
    on_frame: OnFrame,
) -> Run:
    """
    Run ``setting`` from the student ``first``, which stays as it is.

    ``examples`` are the indices whose masks are kept; ``on_frame(index)`` is told of every
    frame done. Raise RunError when a key frame fails.
    """
    step = {WILD: _wild, NAIVE: _naive}.get(setting.kind, _distill)(labelled, setting, first)
    run, precision = Run(), AveragePrecision()
    task, classes = first.task, len(first.info.class_names)
    chosen = set(range(labelled.count))
    if setting.resample_fps:
        chosen = set(resample(labelled.count, labelled.clip.fps, setting.resample_fps))
    for index, frame in enumerate(labelled.clip):
        if index in chosen:
            run.records.append(FrameRecord(index, math.nan))
            labelling = labelled.label(index)
            answer = step(frame, labelling, run.records)
            judge(run.records[-1], answer, labelling, labelled.size, first.info)
            if first.info.task == DETECTION:
                precision.add(boxes_of(answer, 0.0), objects_of(labelling, classes))
            if index in examples:
                run.masks[index] = drawing_of(task, answer, labelled.size, classes)
        on_frame(index)
    run.ap50 = precision.mean()
    return run


def local_loop(
    setting: Setting, first: Student, teacher: Teacher,
    link_to: Callable[[Tutor], Link] = LocalLink,
) -> StudentLoop:
    """
    Return a student's loop with a tutor of its own in this process; ``first`` is copied.

    A lesson takes as long as it takes: a busy machine must not change what it teaches.
    """
    tutor = Tutor(teacher, first, TutorSettings(
        setting.distill, setting.weights, library=setting.library, lesson_seconds=math.inf))
    start = tutor.first_student('evaluation')
    return StudentLoop(
        student_from_update(start, first.info, first.device), Scheduler(setting.schedule),
        link_to(tutor), 'evaluation', setting.key_frames, start.session_id, start.version)


def judge(
    record: FrameRecord, answer: NDArray[Any], labelling: Labelling, size: tuple[int, int],
    info: StudentInfo,
) -> None:
    """
    Fill in how good the ``answer`` to a frame of ``size`` (H, W) is, by the student's task.

    For segmentation IoU per class and their mean (equation 1), over the classes that are there.
    """
    task, said = task_named(info.task), torch.from_numpy(answer)
    target = task.target(labelling, size, len(info.class_names))
    record.iou = task.class_scores(said, target).tolist()
    record.miou = float(task.metric(said, target))


_Step = Callable[[Frame, Labelling, list[FrameRecord]], NDArray[Any]]


def _wild(labelled: LabelledClip, setting: Setting, first: Student) -> _Step:
    def step(frame: Frame, labelling: Labelling, records: list[FrameRecord]) -> NDArray[Any]:
        started = time.perf_counter()
        mask = first.segment(frame)
        records[-1].t_si = 1e3 * (time.perf_counter() - started)
        return mask
    return step


def _naive(labelled: LabelledClip, setting: Setting, first: Student) -> _Step:
    def step(frame: Frame, labelling: Labelling, records: list[FrameRecord]) -> NDArray[Any]:
        record, key_frames = records[-1], setting.key_frames
        answer = perfect_answer(first.task, labelling, len(first.info.class_names))
        record.key_frame, record.staleness = True, 0
        record.t_ti = 1e3 * labelled.teacher_seconds
        record.bytes_up = len(encode_frame(frame, key_frames.format, key_frames.quality).data)
        if first.info.task == DETECTION:
            record.bytes_down = sum(part.nbytes for part in boxes_of(answer))
        else:
            record.bytes_down = (answer.size if key_frames.format == RAW
                                 else len(cv2.imencode('.png', answer)[1]))
        return answer
    return step


def _distill(labelled: LabelledClip, setting: Setting, first: Student) -> _Step:
    loop = local_loop(setting, first, labelled.labels)
    counters = loop.counters
    key_frame: FrameRecord | None = None

    def step(frame: Frame, labelling: Labelling, records: list[FrameRecord]) -> NDArray[Any]:
        nonlocal key_frame
        record = records[-1]
        sent, applied = counters.key_frames, counters.updates_applied
        up, down = counters.bytes_up, counters.bytes_down
        started = time.perf_counter()
        mask = loop.segment(frame, labelled.clip.stamp(record.frame))
        if counters.key_frames > sent:
            key_frame = record
            record.key_frame, record.bytes_up = True, counters.bytes_up - up
        else:
            record.t_si = 1e3 * (time.perf_counter() - started)
        staleness, seconds = loop.staleness()
        record.staleness = math.nan if math.isnan(seconds) else staleness
        loop.settle()
        if counters.failed:
            raise RunError(f'{labelled.clip.path}: {setting.name}: frame {record.frame}: '
                           f'{counters.detail}')
        if counters.updates_applied > applied and key_frame is not None:
            key_frame.bytes_down = counters.bytes_down - down
            key_frame.steps = counters.steps
            key_frame.initial_metric, key_frame.metric = counters.initial_metric, counters.metric
            key_frame.t_ti = 1e3 * labelled.teacher_seconds
            if counters.steps:
                key_frame.t_sd = 1e3 * counters.training_seconds / counters.steps
        return mask
    return step
