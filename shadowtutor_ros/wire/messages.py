# SPDX-License-Identifier: Apache-2.0
"""Between our plain values and the messages of shadowtutor_msgs."""

from __future__ import annotations

from array import array
from collections.abc import Sized
import json
import math
from typing import Any

from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import StudentUpdate as StudentUpdateMsg, WeightTensor
from shadowtutor_msgs.srv import GetStudent
from std_msgs.msg import Header

from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.wire.errors import BadKeyFrame, CorruptUpdate
from shadowtutor_ros.wire.key_frame import EncodedFrame
from shadowtutor_ros.wire.seal import BadTag, Seal, UNKEYED
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate
from shadowtutor_ros.wire.weights import (
    EncodedWeights,
    MAX_DIMENSIONS,
    MAX_PAYLOAD,
    MAX_TENSORS,
    TensorSpec,
)

_QUOTED = 300  # characters


def stamp_from_msg(stamp: Time) -> int:
    """Return nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def stamp_to_msg(stamp: int) -> Time:
    """Return the Time of ``stamp`` nanoseconds."""
    sec, nanosec = divmod(stamp, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def header_to_msg(stamp: int, frame_id: str) -> Header:
    """Return the Header of ``stamp`` nanoseconds."""
    return Header(stamp=stamp_to_msg(stamp), frame_id=frame_id)


def quoted(text: str) -> str:
    """Return what another process says as one line of at most 300 printable characters."""
    line = ''.join(c if c.isprintable() else '\N{REPLACEMENT CHARACTER}'
                   for c in ' '.join(text[:_QUOTED + 1].split()))
    return line if len(text) <= _QUOTED else f'{line[:_QUOTED]}...'


def clipped(text: str, size: int) -> str:
    """Return a text as one printable line of at most ``size`` bytes, as a bounded string has."""
    return quoted(text).encode()[:size].decode(errors='ignore')


def bytes_to_field(data: bytes) -> array[int]:
    """Return what a uint8[] field takes without looking at every element."""
    return array('B', data)


def goal_from_key_frame(
    key_frame: KeyFrame, channel: str = '', transfer: int = 0, moment: int = 0,
    seal: Seal = UNKEYED,
) -> Distill.Goal:
    """
    Return the action goal that carries ``key_frame``, with its tag.

    With a ``channel`` the image itself travels there, in the pieces of ``transfer``. ``moment``
    is later than the process's last.
    """
    header = header_to_msg(key_frame.stamp, key_frame.frame_id)
    student, data = (b'', b'') if channel else (key_frame.student, key_frame.encoded.data)
    return seal.sign(Distill.Goal(
        header=header,
        stream_id=key_frame.stream_id,
        robot=key_frame.robot,
        sequence=key_frame.sequence,
        session_id=key_frame.session_id,
        student_version=key_frame.student_version,
        key_frame=CompressedImage(
            header=header, format=key_frame.encoded.format,
            data=bytes_to_field(data)),
        channel=channel,
        transfer=transfer,
        frame_period=key_frame.frame_period,
        stride=key_frame.stride,
        layout_hash=key_frame.layout_hash,
        student_size=len(key_frame.student),
        student=bytes_to_field(student),
        moment=moment))


def payload_of(key_frame: KeyFrame) -> bytes:
    """Return what pieces carry where a goal has a channel: the student, if any, and the image."""
    return key_frame.student + key_frame.encoded.data


def key_frame_from_goal(goal: Distill.Goal, payload: bytes | None = None) -> KeyFrame:
    """
    Return the key frame of an action goal; ``payload`` is what came in pieces.

    Raise BadKeyFrame when its frame period cannot be one, or there is less than a student in it.
    """
    if payload is None:
        payload = bytes(goal.student) + bytes(goal.key_frame.data)
    if goal.student_size > len(payload):
        raise BadKeyFrame(f'expected a student of {goal.student_size} bytes, '
                          f'got {len(payload)} bytes altogether')
    if not 0.0 <= goal.frame_period < math.inf:
        raise BadKeyFrame(f'frame_period: expected 0 or more seconds, got {goal.frame_period}')
    return KeyFrame(
        stream_id=goal.stream_id,
        robot=goal.robot,
        sequence=goal.sequence,
        session_id=goal.session_id,
        student_version=goal.student_version,
        stamp=stamp_from_msg(goal.header.stamp),
        frame_id=goal.header.frame_id,
        encoded=EncodedFrame(goal.key_frame.format, payload[goal.student_size:]),
        frame_period=goal.frame_period,
        stride=goal.stride,
        layout_hash=goal.layout_hash,
        student=payload[:goal.student_size])


def update_to_msg(
    update: StudentUpdate, seal: Seal = UNKEYED, context: bytes = b'',
) -> StudentUpdateMsg:
    """Return the message of ``update``, with a tag for ``context``: what it answers."""
    weights = update.weights
    return seal.sign(StudentUpdateMsg(
        header=header_to_msg(update.stamp, update.frame_id),
        stream_id=update.stream_id,
        sequence=update.sequence,
        layout_hash=update.layout_hash,
        group=update.group,
        session_id=update.session_id,
        base_version=update.base_version,
        version=update.version,
        initial_metric=update.initial_metric,
        metric=update.metric,
        steps=update.steps,
        queue_time=_duration(update.queue_time),
        teacher_time=_duration(update.teacher_time),
        training_time=_duration(update.training_time),
        stride_floor=update.stride_floor,
        encoding=weights.encoding,
        crc32=weights.crc32,
        tensors=[WeightTensor(name=t.name, shape=array('I', t.shape), dtype=t.dtype,
                              scale=t.scale, offset=t.offset, length=t.length)
                 for t in weights.tensors],
        payload=bytes_to_field(weights.payload)), context)


def update_from_msg(
    msg: StudentUpdateMsg, seal: Seal = UNKEYED, context: bytes = b'',
) -> StudentUpdate:
    """
    Return the update of a message; its weights are not checked here.

    Raise CorruptUpdate when the payload is larger than MAX_PAYLOAD, there are more than
    MAX_TENSORS or MAX_DIMENSIONS of one, the metric is not 0-1, or the tag does not fit.
    """
    _at_most(MAX_PAYLOAD, 'payload bytes', msg.payload)
    _at_most(MAX_TENSORS, 'tensors', msg.tensors)
    for tensor in msg.tensors:
        _at_most(MAX_DIMENSIONS, 'dimensions', tensor.shape)
    for name in ('initial_metric', 'metric'):
        value = getattr(msg, name)
        if not (math.isnan(value) or 0.0 <= value <= 1.0):
            raise CorruptUpdate(f'{name}: expected 0 to 1 or NaN, got {value}')
    try:
        seal.check(msg, context)
    except BadTag as error:
        raise CorruptUpdate(str(error)) from error
    tensors = tuple(
        TensorSpec(t.name, tuple(t.shape), t.dtype, t.scale, t.offset, t.length)
        for t in msg.tensors)
    return StudentUpdate(
        stream_id=msg.stream_id,
        sequence=msg.sequence,
        stamp=stamp_from_msg(msg.header.stamp),
        frame_id=msg.header.frame_id,
        layout_hash=msg.layout_hash,
        group=msg.group,
        session_id=msg.session_id,
        base_version=msg.base_version,
        version=msg.version,
        weights=EncodedWeights(msg.encoding, tensors, bytes(msg.payload), msg.crc32),
        initial_metric=msg.initial_metric,
        metric=msg.metric,
        steps=msg.steps,
        queue_time=_seconds(msg.queue_time),
        teacher_time=_seconds(msg.teacher_time),
        training_time=_seconds(msg.training_time),
        stride_floor=msg.stride_floor)


def fill_info(
    response: GetStudent.Response, info: StudentInfo,
) -> GetStudent.Response:
    """Put what belongs to a student beside its weights into a response and return it."""
    response.success = True
    response.task, response.architecture = info.task, info.architecture
    response.configuration = info.configuration_json
    response.class_names = list(info.class_names)
    response.class_colours = array('B', [c for colour in info.class_colours for c in colour])
    response.mean = list(info.mean)
    response.std = list(info.std)
    return response


def info_from_response(response: GetStudent.Response) -> StudentInfo:
    """
    Return what a GetStudent response says of the student beside its weights.

    Raise CorruptUpdate when it cannot belong to a student. Whether this release knows the task
    and the architecture shows when the student is made.
    """
    names, colours = list(response.class_names), list(response.class_colours)
    if not 2 <= len(names) <= 255 or len(colours) not in (0, 3 * len(names)):
        raise CorruptUpdate('expected 2 to 255 class names with 3 colour bytes each or none, '
                            f'got {len(names)} names and {len(colours)} bytes')
    mean, std = [float(v) for v in response.mean], [float(v) for v in response.std]
    if not all(math.isfinite(v) for v in mean) or not all(0 < v < math.inf for v in std):
        raise CorruptUpdate(f'expected finite means and positive stds, got {mean} and {std}')
    return StudentInfo(
        tuple(names),
        tuple((r, g, b) for r, g, b in zip(colours[::3], colours[1::3], colours[2::3])),
        (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]),
        response.task, response.architecture, _configuration(response.configuration))


def _configuration(text: str) -> dict[str, Any]:
    try:
        configuration = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptUpdate(f'configuration: expected a JSON object, got {error}') from error
    if not isinstance(configuration, dict):
        raise CorruptUpdate(
            f'configuration: expected a JSON object, got {type(configuration).__name__}')
    return configuration


def _at_most(most: int, what: str, field: Sized) -> None:
    if len(field) > most:
        raise CorruptUpdate(f'expected at most {most} {what}, got {len(field)}')


def _duration(seconds: float) -> Duration:
    sec, nanosec = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=sec, nanosec=nanosec)


def _seconds(duration: Duration) -> float:
    return float(duration.sec + duration.nanosec * 1e-9)
