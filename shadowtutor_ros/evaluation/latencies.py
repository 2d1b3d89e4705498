# SPDX-License-Identifier: Apache-2.0
"""Table 1's times and bytes, measured on this machine."""

from __future__ import annotations

import statistics
import time

from shadowtutor_ros.evaluation.bounds import Measured
from shadowtutor_ros.evaluation.run import local_loop, RunError
from shadowtutor_ros.evaluation.setting import Setting
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.teacher.protocol import Teacher


def measure(
    setting: Setting, first: Student, teacher: Teacher, frame: Frame, repeats: int = 5,
) -> Measured:
    """
    Return medians over ``repeats`` of a frame, a step and the teacher; t_net is 0.

    Every key frame is ``frame``, shown to a new copy of ``first``. Raise RunError when the
    student knows the frame so well that no step is taken, or the key frame fails.
    """
    first.segment(frame)  # the first call of a network pays for its preparation
    inference = [_seconds_of(first, frame) for _ in range(repeats)]
    step_seconds, teacher_seconds, size = [], [], 0
    for repeat in range(repeats + 1):
        loop = local_loop(setting, first, teacher)
        loop.segment(frame)
        loop.settle()
        counters = loop.counters
        if counters.failed or not counters.steps:
            raise RunError(f'expected a key frame that takes a distillation step, got '
                           f'{counters.detail or "none: the student knows the frame"}')
        if repeat:
            step_seconds.append(counters.training_seconds / counters.steps)
            teacher_seconds.append(counters.teacher_seconds)
        size = counters.bytes_up + counters.bytes_down
    return Measured(statistics.median(inference), statistics.median(step_seconds),
                    statistics.median(teacher_seconds), 0.0, float(size))


def _seconds_of(student: Student, frame: Frame) -> float:
    started = time.perf_counter()
    student.segment(frame)
    return time.perf_counter() - started
