# SPDX-License-Identifier: Apache-2.0
"""What ShadowTutor is compared with: no tutor at all, and every frame to the server."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shadowtutor_ros.distill.metric import mean_iou_of_masks
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.wire.key_frame import encode_frame, JPEG

Frames = Sequence[NDArray[np.uint8]]


def wild_miou(student: Student, frames: Frames, labels: NDArray[np.uint8]) -> list[float]:
    """Return the mIoU (0-1) of each frame for a student that nobody teaches (section 6.3)."""
    classes = len(student.info.class_names)
    return [mean_iou_of_masks(student.segment(frame), label, classes)
            for frame, label in zip(tqdm(frames, 'student alone', unit='frame'), labels)]


def naive_raw_bytes(frame: NDArray[np.uint8]) -> int:
    """Return the bytes of one frame up and its mask down, uncompressed (Table 4)."""
    height, width = frame.shape[:2]
    return height * width * 3 + height * width


def naive_jpeg_bytes(frames: Frames, labels: NDArray[np.uint8], quality: int) -> float:
    """Return the mean bytes of one frame as JPEG up and its mask as PNG down."""
    sizes = [len(encode_frame(frame, JPEG, quality).data) + len(cv2.imencode('.png', label)[1])
             for frame, label in zip(frames, labels)]
    return float(np.mean(sizes))
