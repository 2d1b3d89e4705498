# SPDX-License-Identifier: Apache-2.0
"""
What the wire costs in Python on one core: weights, key frames and camera images.

Prints medians in milliseconds and ratios taken side by side; run with ``make bench``.
"""

from __future__ import annotations

from collections.abc import Callable
import statistics
import time

import cv2
import numpy as np
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from shadowtutor_msgs.msg import StudentUpdate as StudentUpdateMsg
import torch

from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.wire.encoder import Encoder, WeightSettings
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.key_frame import decode_frame, encode_frame
from shadowtutor_ros.wire.messages import header_to_msg, update_from_msg, update_to_msg
from shadowtutor_ros.wire.pixels import image_to_bgr
from shadowtutor_ros.wire.update import StudentUpdate, verify_update

ROUNDS = 60


def median_ms(work: Callable[[], object]) -> float:
    """Return the median milliseconds of one call."""
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)


def report(name: str, milliseconds: float, size: int) -> None:
    """Print one line."""
    print(f'{name:<52} {milliseconds:8.3f} ms {size / 1024:9.1f} KiB')


def weights() -> None:
    """Time a student update from tensors to message, over the serializer, and back."""
    student = Student.random(StudentInfo(tuple('abcdefghi')), 0)
    for group in (PARTIAL, FULL):
        tensors = {name: t + 0.005 * torch.randn_like(t)
                   for name, t in student.weights(group).items()}
        for encoding in WEIGHT_ENCODINGS:
            encoder = Encoder(WeightSettings(encoding))
            encoder.keep(0, student.weights(FULL))

            def to_msg(
                tensors: dict[str, torch.Tensor] = tensors, group: str = group,
                encoder: Encoder = encoder,
            ) -> StudentUpdateMsg:
                return update_to_msg(StudentUpdate(
                    'bench', 1, 0, 'camera', student.layout_hash, group, 1, 0, 1,
                    next(encoder.drafts(tensors, 0)).weights, 0.5, 0.9, 4))

            def from_msg(msg: StudentUpdateMsg) -> None:
                student.load(verify_update(update_from_msg(msg), student, 1, 0))

            msg = to_msg()
            size = len(msg.payload)
            name = f'update {group} {encoding}'
            out, back = median_ms(to_msg), median_ms(lambda: from_msg(msg))  # noqa: B023
            report(f'{name}: tensors to message', out, size)
            report(f'{name}: message to loaded tensors', back, size)
            report(f'{name}: both', out + back, size)
            report(f'{name}: serialize and deserialize', median_ms(
                lambda: deserialize_message(serialize_message(msg), StudentUpdateMsg)),  # noqa: B023
                size)


def frames() -> None:
    """Time the key-frame codec and the camera path on a 720p picture with structure."""
    noise = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    frame = cv2.resize(noise, (1280, 720), interpolation=cv2.INTER_CUBIC)
    for format_ in ('jpeg', 'png', 'raw'):
        encoded = encode_frame(frame, format_)
        report(f'key frame {format_}: encode',
               median_ms(lambda: encode_frame(frame, format_)), len(encoded.data))  # noqa: B023
        report(f'key frame {format_}: decode',
               median_ms(lambda: decode_frame(encoded)), len(encoded.data))  # noqa: B023
    header = header_to_msg(0, 'camera')
    for encoding in ('bgr8', 'rgb8', 'yuyv'):
        pixels = frame[..., :2] if encoding == 'yuyv' else frame
        msg: Image = image_from_array(np.ascontiguousarray(pixels), encoding, header)
        report(f'camera {encoding}: to BGR', median_ms(lambda: image_to_bgr(msg)),  # noqa: B023
               len(msg.data))
    mask = np.zeros((720, 1280), np.uint8)
    report('mask to message', median_ms(lambda: image_from_array(mask, 'mono8', header)),
           mask.nbytes)


if __name__ == '__main__':
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    weights()
    frames()
