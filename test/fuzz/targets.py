# SPDX-License-Identifier: Apache-2.0
"""All that reads bytes of others, and good inputs of each."""

from array import array
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
import zlib

from bag.recording import compressed, image
from fuzz.file_targets import Files, INFO, SESSION, SIZE, VERSION
from fuzz.mutation import mutate
from fuzz.watch import Target
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from scene import Scene
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import (
    ClassMap,
    HelperStatus,
    Lesson,
    Piece as PieceMsg,
    PieceReport,
    ShareOffer,
    StudentStatus,
    StudentUpdate as StudentUpdateMsg,
    TutorStatus,
)
from shadowtutor_msgs.srv import GetStudent
from small_net import SmallNet
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.groups import FULL, PARTIAL, shapes_of
from shadowtutor_ros.model.network import Features
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import ARCHITECTURES
from shadowtutor_ros.transfer.pieces import BadPiece
from shadowtutor_ros.transfer.receiver import Receiver
from shadowtutor_ros.wire.cdr import check_sizes
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.errors import BadCdr, BadImage
from shadowtutor_ros.wire.images import runs_from_mask
from shadowtutor_ros.wire.jobs import (
    decode_answer,
    decode_order,
    encode_done,
    encode_features,
    encode_job,
    encode_need,
    encode_student,
    encode_undone,
    encode_update,
    FrameOrder,
    PackedUpdate,
    WholeStudent,
)
from shadowtutor_ros.wire.key_frame import decode_frame, encode_frame, EncodedFrame
from shadowtutor_ros.wire.masks import mask_of
from shadowtutor_ros.wire.messages import (
    fill_info,
    goal_from_key_frame,
    header_to_msg,
    info_from_response,
    key_frame_from_goal,
    update_to_msg,
)
from shadowtutor_ros.wire.piece_messages import piece_from_msg, update_from_bytes
from shadowtutor_ros.wire.pixels import compressed_to_bgr, image_to_bgr
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate, verify_update
from shadowtutor_ros.wire.whole import pack_student, unpack_student

MAX_PIXELS = 1 << 20  # of images on the graph


def all_targets(folder: Path, scene: Scene, classes: ClassSet) -> list[Target]:
    """Return every reader; files lie below ``folder``, where inputs are written, too."""
    ARCHITECTURES['fuzzed'] = SmallNet
    files = Files(folder, scene, classes)
    return [*messages(scene), *files.weights(), *files.texts(), *files.labels(), *files.videos(),
            *files.states()]


def messages(scene: Scene) -> Iterator[Target]:
    """What comes over the graph."""
    student = Student.random(INFO, 0)
    updates = [serialize_message(update_to_msg(update)) for update in _updates(student)]
    yield Target('update', lambda data: verify_update(
        update_from_bytes(zlib.compress(data, 1)), student, SESSION, VERSION), updates, mutate,
        share=2)
    yield Target('packed update', lambda data: verify_update(
        update_from_bytes(data), student, SESSION, VERSION),
        [zlib.compress(update, 1) for update in updates], mutate)
    weights = student.weights(FULL)
    yield Target('student that is handed up', lambda data: unpack_student(
        data, shapes_of(weights)), [pack_student(weights)], mutate)

    frame = scene.frames[0][:SIZE[0], :SIZE[1]]
    yield from _helper(student, frame, updates)
    pictures = {name: encode_frame(frame, name).data for name in ('webp', 'jpeg', 'png')}
    for name, data in pictures.items():
        yield Target(f'{name} key frame', lambda data, name=name: decode_frame(
            EncodedFrame(name, data), MAX_PIXELS), [data], mutate)
        if name == 'webp':  # no camera sends it
            continue
        yield Target(f'{name} camera', lambda data, name=name: compressed_to_bgr(
            compressed(f'bgr8; {name} compressed bgr8', data), MAX_PIXELS), [data], mutate)
    mask = runs_from_mask(scene.labels[0][:SIZE[0], :SIZE[1]], header_to_msg(0, ''))
    yield Target('run lengths', lambda data: mask_of(
        CompressedImage(format=mask.format, data=array('B', data)), MAX_PIXELS),
        [mask.data.tobytes()], _mutate_runs)
    yield Target('raw', _read_raw, [b'\0\x18\0\x20' + frame.tobytes()], mutate)

    goal = goal_from_key_frame(KeyFrame(
        'robot', 1, SESSION, VERSION, 10**9, 'camera', EncodedFrame('jpeg', pictures['jpeg'])))
    yield Target('goal', lambda data: decode_frame(key_frame_from_goal(
        _message(data, Distill.Goal)).encoded, MAX_PIXELS), [serialize_message(goal)], mutate)
    response = fill_info(GetStudent.Response(), StudentInfo(tuple('ab'), ((1, 2, 3), (4, 5, 6))))
    yield Target('first student', lambda data: info_from_response(
        _message(data, GetStudent.Response)).network(), [serialize_message(response)], mutate)
    yield Target('pieces', _read_pieces, [bytes(range(256)) * 4], mutate)
    for kind in (PieceMsg, PieceReport, ClassMap, HelperStatus, Lesson, ShareOffer,
                 StudentStatus, TutorStatus, StudentUpdateMsg):
        yield Target(kind.__name__, lambda data, kind=kind: _message(data, kind),
                     [serialize_message(kind())], mutate)


def _helper(student: Student, frame: np.ndarray, updates: list[bytes]) -> Iterator[Target]:
    """What a robot and its helper send each other."""
    trunk = Student.random(StudentInfo(tuple('abc')), 0)

    def order(data: bytes) -> object:
        decoded = decode_order(data)
        if isinstance(decoded, WholeStudent):
            made = Student(decoded.info, decoded.info.network())
            return unpack_student(decoded.weights, shapes_of(made.weights(FULL)))
        if isinstance(decoded, PackedUpdate):
            return verify_update(update_from_bytes(decoded.data), student, SESSION, VERSION)
        if isinstance(decoded, FrameOrder):
            return decode_frame(decoded.encoded, MAX_PIXELS)
        return trunk.back(Features(*(each.float() for each in decoded.features[:3]),
                                   decoded.features.stem_size), decoded.size)

    yield Target('order for a helper', order, [
        encode_student(INFO, student.weights(FULL), torch.float32, SESSION, VERSION),
        encode_update(zlib.compress(updates[0], 1)),
        encode_job(1, (SESSION, VERSION), encode_frame(frame, 'jpeg')),
        encode_features(1, (SESSION, VERSION), SIZE, trunk.front(frame))], mutate, share=2)
    yield Target('answer of a helper', lambda data: decode_answer(data, MAX_PIXELS), [
        encode_done(1, frame[..., 0], 0.1), encode_undone(1, 'no'), encode_need('lost')], mutate)


def _updates(student: Student) -> Iterator[StudentUpdate]:
    running = student.weights(FULL)
    for group, encoding in zip((FULL, PARTIAL) * 9, WEIGHT_ENCODINGS.values()):
        own = {key: tensor for key, tensor in running.items() if key in student.weights(group)}
        taught = {key: tensor + 0.01 for key, tensor in own.items()}
        encoded = next(iter(encoding.encode(taught, own, {}, 1.0)))
        yield StudentUpdate('robot', 1, 10**9, 'camera', student.layout_hash, group, SESSION,
                            VERSION if encoding.inter else 0, VERSION + 1, encoded, 0.5, 0.6)


def _message(data: bytes, kind: type) -> Any:
    """Deserialize as those do who look at the sizes first."""
    check_sizes(data, kind)
    try:
        return deserialize_message(data, kind)
    except (RuntimeError, UnicodeDecodeError, ValueError) as error:
        raise BadCdr(str(error)) from error


def _read_raw(data: bytes) -> None:
    height, width = (int.from_bytes(data[at:at + 2], 'big') for at in (0, 2))
    for encoding, channels in (('bgr8', 3), ('mono8', 1), ('yuv422', 2)):
        with suppress(BadImage):
            picture = image(np.zeros((1, 1, 3), np.uint8), encoding)
            image_to_bgr(replace(picture, height=height, width=width, step=width * channels,
                                 data=np.frombuffer(data[4:], np.uint8)), MAX_PIXELS)
    decode_frame(EncodedFrame(f'raw; bgr8; {height}x{width}', data[4:]), MAX_PIXELS)


def _read_pieces(data: bytes) -> None:
    """Take pieces whose numbers are parts of ``data``."""
    receiver = Receiver(1 << 20)
    for at in range(0, len(data), 32):
        numbers = data[at:at + 16].ljust(16, b'\0')
        transfer, size, index, order = (numbers[0] % 4, int.from_bytes(numbers[2:5], 'big'),
                                        int.from_bytes(numbers[6:8], 'big') % 900, numbers[9])
        length = int.from_bytes(numbers[12:14], 'big') % 9000 if numbers[14] & 1 else 1280
        msg = PieceMsg(transfer=transfer, size=size, length=length, index=index, order=order,
                       report=bool(numbers[10] & 1), data=data[at + 16:at + 16 + numbers[11]])
        with suppress(BadPiece):
            receiver.on_piece(piece_from_msg(msg))
        receiver.take(transfer)


def _mutate_runs(random: Random, data: bytes) -> bytes:
    """Damage the packed runs, or the runs themselves."""
    if random.random() < 0.3:
        return mutate(random, data)
    return data[:12] + zlib.compress(mutate(random, zlib.decompress(data[12:])))
