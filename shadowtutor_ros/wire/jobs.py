# SPDX-License-Identifier: Apache-2.0
"""
What a robot and a helper send each other: students, updates and frames; masks back.

A payload is a byte that says its kind and then a struct, little-endian; what has no size of its
own comes last. Maps of features have 16 bits a number and the channels of a place together.
"""

from __future__ import annotations

from dataclasses import dataclass
import math
import struct
from typing import Any

import torch
from torch import Tensor

from shadowtutor_ros.model.checkpoint import info_from_text, info_to_text
from shadowtutor_ros.model.engine import precision_name
from shadowtutor_ros.model.network import Features, Trunk
from shadowtutor_ros.model.student import Mask, StudentInfo
from shadowtutor_ros.wire.errors import BadImage, BadJob
from shadowtutor_ros.wire.key_frame import EncodedFrame, MAX_PIXELS
from shadowtutor_ros.wire.run_lengths import decode_runs, encode_runs
from shadowtutor_ros.wire.whole import pack_student

MAX_ORDER = 72 << 20  # bytes: a student of 64 MiB; a raw frame of MAX_PIXELS has 26
MAX_ANSWER = 46 << 20  # bytes: a mask of MAX_PIXELS that no two pixels of are alike

_STUDENT, _UPDATE, _FRAME, _FEATURES = range(4)
_DONE, _UNDONE, _NEEDS_STUDENT = range(3)
_STUDENT_HEAD = struct.Struct('<BQI8sI')  # session, version, precision, bytes of the info
_JOB_HEAD = struct.Struct('<BQQI')  # number, session, version
_FRAME_HEAD = struct.Struct('<64s')  # format
_FEATURES_HEAD = struct.Struct('<II8s')  # height and width of the frame, type
_ANSWER_HEAD = struct.Struct('<BQff')  # number, seconds of work, seconds of waiting before
_MAX_TEXT = 300  # bytes
_HALVES = {'fp16': torch.float16, 'bf16': torch.bfloat16}


@dataclass(frozen=True)
class WholeStudent:
    """A student that a helper begins with; ``weights`` are ``pack_student``'s."""

    session_id: int
    version: int
    precision: str
    info: StudentInfo
    weights: bytes


@dataclass(frozen=True)
class PackedUpdate:
    """A tutor's update as pieces carry it."""

    data: bytes


@dataclass(frozen=True)
class FrameOrder:
    """A frame for the network of ``session_id`` and ``version``."""

    number: int
    session_id: int
    version: int
    encoded: EncodedFrame


@dataclass(frozen=True)
class FeaturesOrder:
    """What that network's front made of a frame of ``size`` (H, W), of 16 bits, on the CPU."""

    number: int
    session_id: int
    version: int
    size: tuple[int, int]
    features: Features


Order = WholeStudent | PackedUpdate | FrameOrder | FeaturesOrder


@dataclass(frozen=True)
class Answer:
    """
    What a helper says of an order: its mask, or why there is none.

    ``service_seconds`` are from taking it up to the encoded mask, ``waited_seconds`` from its
    arrival to its being taken up.
    ``needs_student``: it has lost its weights, or cannot take these, and does nothing any more.
    """

    number: int
    mask: Mask | None
    error: str = ''
    service_seconds: float = math.nan
    waited_seconds: float = 0.0
    needs_student: bool = False


def encode_student(
    info: StudentInfo, weights: dict[str, Tensor], precision: torch.dtype, session_id: int,
    version: int,
) -> bytes:
    """Return the payload of a whole student; ``weights`` are float32, in the network's order."""
    text = info_to_text(info).encode()
    head = _STUDENT_HEAD.pack(
        _STUDENT, session_id, version, precision_name(precision).encode(), len(text))
    return head + text + pack_student(weights)


def encode_update(data: bytes) -> bytes:
    """Return the payload of an update."""
    return bytes([_UPDATE]) + data


def encode_job(
    number: int, version: tuple[int, int], frame: EncodedFrame,
) -> bytes:
    """Return the payload of a frame for the weights of ``version``: session and version."""
    return (_JOB_HEAD.pack(_FRAME, number, *version)
            + _FRAME_HEAD.pack(frame.format.encode()) + frame.data)


def encode_features(
    number: int, version: tuple[int, int], size: tuple[int, int], features: Features,
) -> bytes:
    """
    Return the payload of what a Trunk's front made of a frame of ``size`` (H, W).

    In half precision it travels as it is, float32 as fp16. Raise BadJob for another network's
    features, and for those beyond fp16.
    """
    if not isinstance(features, Features):
        raise BadJob(f'expected the features of a {Trunk.__name__}, '
                     f'got {type(features).__name__}')
    maps = features.sb4, features.sb2, features.sb1
    name = 'bf16' if all(each.dtype == torch.bfloat16 for each in maps) else 'fp16'
    halves = [each[0].permute(1, 2, 0).to('cpu', _HALVES[name]).contiguous() for each in maps]
    if not all(bool(torch.isfinite(each).all()) for each in halves):
        raise BadJob(f'features are not finite in {name}')
    head = _JOB_HEAD.pack(_FEATURES, number, *version) + _FEATURES_HEAD.pack(*size, name.encode())
    return head + b''.join(each.view(torch.int16).numpy().tobytes() for each in halves)


def decode_order(data: bytes) -> Order:
    """
    Return what a robot has sent.

    What a student, an update or a frame is inside is looked at by whoever decodes that. Raise
    BadJob.
    """
    match data[:1]:
        case b'\x00':
            return _student(data)
        case b'\x01':
            return PackedUpdate(data[1:])
        case b'\x02':
            _, number, session_id, version = _unpacked(_JOB_HEAD, data)
            format, = _unpacked(_FRAME_HEAD, data, _JOB_HEAD.size)
            return FrameOrder(number, session_id, version, EncodedFrame(
                _text(format.rstrip(b'\0')), data[_JOB_HEAD.size + _FRAME_HEAD.size:]))
        case b'\x03':
            return _features(data)
    raise BadJob(f'{len(data)} bytes for a helper: expected a kind of 0 to 3, '
                 f'got {data[:1].hex() or "nothing"}')


def encode_done(number: int, mask: Mask, seconds: float, waited: float = 0.0) -> bytes:
    """Return the payload of HxW uint8 class ids that took ``seconds``, after others had ended."""
    return _ANSWER_HEAD.pack(_DONE, number, seconds, waited) + encode_runs(mask)


def encode_undone(number: int, reason: str) -> bytes:
    """Return the payload that says why there is no mask."""
    return _ANSWER_HEAD.pack(_UNDONE, number, 0.0, 0.0) + _short(reason)


def encode_need(reason: str) -> bytes:
    """Return the payload of a helper that has no weights, and why."""
    return _ANSWER_HEAD.pack(_NEEDS_STUDENT, 0, 0.0, 0.0) + _short(reason)


def decode_answer(data: bytes, max_pixels: int = MAX_PIXELS) -> Answer:
    """Return what a helper has sent; raise BadJob, also for a mask of more than ``max_pixels``."""
    kind, number, seconds, waited = _unpacked(_ANSWER_HEAD, data)
    rest = data[_ANSWER_HEAD.size:]
    if kind == _DONE:
        for time in seconds, waited:
            if not 0.0 <= time < math.inf:
                raise BadJob(f'expected a time of 0 or more seconds, got {time}')
        try:
            return Answer(number, decode_runs(rest, max_pixels), '', seconds, waited)
        except BadImage as error:
            raise BadJob(f'mask {number}: {error}') from error
    if kind not in (_UNDONE, _NEEDS_STUDENT) or len(rest) > _MAX_TEXT:
        raise BadJob(f'{len(data)} bytes of a helper: expected a mask or why there is none, '
                     f'got the kind {kind} with {len(rest)} bytes')
    return Answer(number, None, _text(rest), needs_student=kind == _NEEDS_STUDENT)


def _student(data: bytes) -> WholeStudent:
    _, session_id, version, precision, length = _unpacked(_STUDENT_HEAD, data)
    text = data[_STUDENT_HEAD.size:_STUDENT_HEAD.size + length]
    if len(text) != length:
        raise BadJob(f'student: expected {length} bytes that describe it, got {len(text)}')
    try:
        info = info_from_text(_text(text))
        if not (all(isinstance(name, str) for name in info.class_names)
                and all(math.isfinite(value) for value in info.mean)
                and all(0 < value < math.inf for value in info.std)):
            raise ValueError("names, means or deviations cannot be a student's")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError,
            OverflowError) as error:
        raise BadJob(f'student: expected what describes one, got {error!r}') from error
    return WholeStudent(session_id, version, _text(precision.rstrip(b'\0')), info,
                        data[_STUDENT_HEAD.size + length:])


def _features(data: bytes) -> FeaturesOrder:
    _, number, session_id, version = _unpacked(_JOB_HEAD, data)
    height, width, precision = _unpacked(_FEATURES_HEAD, data, _JOB_HEAD.size)
    kind = _HALVES.get(_text(precision.rstrip(b'\0')))
    if kind is None or not 1 <= height * width <= MAX_PIXELS:
        raise BadJob(f'features of {height}x{width} in {precision!r}: expected 1 to {MAX_PIXELS} '
                     f'pixels in {" or ".join(_HALVES)}')
    shapes = Trunk.feature_shapes(height, width)
    sizes = [math.prod(shape) for shape in shapes]
    values = data[_JOB_HEAD.size + _FEATURES_HEAD.size:]
    if len(values) != 2 * sum(sizes):
        raise BadJob(f'features of {height}x{width}: expected {2 * sum(sizes)} bytes, '
                     f'got {len(values)}')
    parts = torch.split(torch.frombuffer(bytearray(values), dtype=kind), sizes)
    sb4, sb2, sb1 = (part.view(1, rows, columns, channels).permute(0, 3, 1, 2)
                     for part, (channels, rows, columns) in zip(parts, shapes))
    return FeaturesOrder(number, session_id, version, (height, width), Features(
        sb4, sb2, sb1, (-(-height >> 1), -(-width >> 1))))


def _unpacked(form: struct.Struct, data: bytes, at: int = 0) -> tuple[Any, ...]:
    if len(data) < at + form.size:
        raise BadJob(f'expected {at + form.size} bytes or more, got {len(data)}')
    return form.unpack_from(data, at)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadJob(f'expected text, got {data[:64].hex()}') from error


def _short(text: str) -> bytes:
    return text.encode('utf-8', 'replace')[:_MAX_TEXT].decode(errors='ignore').encode()
