# SPDX-License-Identifier: Apache-2.0
"""What a student's loop does, as ``~/status``."""

from __future__ import annotations

import math

from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.runtime.student import Counters, StudentLoop
from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.wire.messages import header_to_msg, stamp_to_msg

_UNKNOWN = ('staleness_seconds', 'initial_metric', 'metric', 'inference_ms', 'turnaround_ms',
            'queue_ms', 'teacher_ms', 'training_ms', 'goodput_kbps', 'round_trip_ms')


def empty_status(state: int) -> StudentStatus:
    """Return the status of a node that has no student."""
    return StudentStatus(state=state, **dict.fromkeys(_UNKNOWN, math.nan))


def status_of(loop: StudentLoop, path: PathEstimate, goal_timeout: float) -> StudentStatus:
    """Return the status of a running loop; ``goal_timeout`` in seconds holds without a policy."""
    counters, policy = loop.counters, loop.policy
    status = empty_status(StudentStatus.RUNNING)
    status.header = header_to_msg(loop.stamp, loop.frame_id)
    if counters.failed:
        status.link = StudentStatus.LINK_FAILED
    elif loop.scheduler.outstanding:
        status.link = StudentStatus.LINK_BUSY
    else:
        status.link = StudentStatus.LINK_IDLE
    status.detail = counters.detail
    status.session_id, status.version = loop.session_id, loop.version
    status.staleness_frames, status.staleness_seconds = loop.staleness()
    status.stride, status.stride_floor = loop.scheduler.stride, loop.scheduler.floor
    status.tutor_stride_floor = loop.tutor_floor
    status.initial_metric, status.metric = counters.initial_metric, counters.metric
    status.steps = counters.steps
    status.key_frame_stamp = stamp_to_msg(counters.key_frame_stamp)
    status.frames_processed = counters.frames
    for name in ('inference', 'turnaround', 'queue', 'teacher', 'training'):
        setattr(status, f'{name}_ms', getattr(counters, f'{name}_seconds') * 1e3)
    for name in ('key_frames', 'updates_applied', 'updates_rejected', 'failures',
                 'distillation_steps', 'bytes_up', 'bytes_down'):
        setattr(status, name, getattr(counters, name))
    status.timeout = policy.timeout if policy else goal_timeout
    status.goodput_kbps = 8e-3 * policy.goodput if policy else math.nan
    status.jpeg_quality = loop.quality
    status.round_trip_ms = math.nan if path.srtt is None else 1e3 * path.srtt
    status.pieces_sent, status.pieces_repeated = path.sent, path.repeated
    return status


def events(counters: Counters) -> tuple[int, int, int]:
    """Return what must change for a status to be worth sending at once."""
    return counters.key_frames, counters.updates_applied, counters.failures
