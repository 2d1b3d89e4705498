# SPDX-License-Identifier: Apache-2.0
"""The key frame and its answer as plain values, and the check before weights are swapped."""

from __future__ import annotations

from dataclasses import dataclass
import math

from torch import Tensor

from shadowtutor_ros.model.groups import FULL, GROUPS
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.schedule.load import MAX_STRIDE_FLOOR
from shadowtutor_ros.wire.encodings import encoding_of
from shadowtutor_ros.wire.errors import CorruptUpdate, LayoutMismatch, StaleUpdate
from shadowtutor_ros.wire.key_frame import EncodedFrame
from shadowtutor_ros.wire.weights import EncodedWeights

NO_SESSION = 0


@dataclass(frozen=True)
class KeyFrame:
    """
    Distill.action's goal; ``stamp`` is the image's, in nanoseconds.

    ``robot`` is a random number of the process that sends it, 0 if it does not say.
    ``frame_period`` are seconds from one of its frames to the next, ``stride`` the frames to its
    next key frame as Algorithm 2 wants it, before any floor; 0 if it does not say. ``layout_hash``
    is of the student that it runs and can hand up, 0 if it does not; ``student`` is that student
    as ``pack_student`` made it, if a tutor asked for it.
    """

    stream_id: str
    sequence: int
    session_id: int
    student_version: int
    stamp: int
    frame_id: str
    encoded: EncodedFrame
    robot: int = 0
    frame_period: float = 0.0
    stride: int = 0
    layout_hash: int = 0
    student: bytes = b''


@dataclass(frozen=True)
class StudentUpdate:
    """
    StudentUpdate.msg; times in seconds.

    ``stride_floor`` is the least distance in frames of the robot's next key frames, 0: none.
    """

    stream_id: str
    sequence: int
    stamp: int
    frame_id: str
    layout_hash: int
    group: str
    session_id: int
    base_version: int
    version: int
    weights: EncodedWeights
    initial_metric: float = math.nan
    metric: float = math.nan
    steps: int = 0
    queue_time: float = 0.0
    teacher_time: float = 0.0
    training_time: float = 0.0
    stride_floor: int = 0


def verify_update(
    update: StudentUpdate, student: Student, session_id: int, version: int,
) -> dict[str, Tensor]:
    """
    Check an update against the ``student`` that runs and return its decoded tensors.

    ``session_id`` and ``version`` are its weights'. Raise a BadUpdate otherwise: LayoutMismatch,
    StaleUpdate, CorruptUpdate or NonFiniteUpdate.
    """
    if not 0 <= update.stride_floor <= MAX_STRIDE_FLOOR:
        raise CorruptUpdate(f'stride_floor: expected 0 to {MAX_STRIDE_FLOOR} frames, '
                            f'got {update.stride_floor}')
    if update.group not in GROUPS:
        raise LayoutMismatch(f'parameter group: expected one of {GROUPS}, got {update.group!r}')
    if update.layout_hash != student.layout_hash:
        raise LayoutMismatch(
            'the tutor teaches another student, with another task, network, classes or '
            f'normalisation: expected layout {student.layout_hash:016x}, '
            f'got {update.layout_hash:016x}')
    same_session = update.session_id == session_id
    if same_session and update.version <= version:
        raise StaleUpdate(f'expected a version above {version}, got {update.version}')
    encoding = encoding_of(update.weights)
    resync = update.group == FULL and update.base_version == 0 and not encoding.inter
    if not resync:
        if not same_session:
            raise StaleUpdate(f'expected session {session_id:016x}, '
                              f'got {update.session_id:016x} without the whole student')
        if version < update.base_version:
            raise StaleUpdate(f'builds on version {update.base_version} or later, '
                              f'the student runs {version}')
    if encoding.inter and version != update.base_version:
        raise StaleUpdate(f'is a difference to version {update.base_version}, '
                          f'the student runs {version}')
    return encoding.decode(update.weights, student.weights(update.group))
