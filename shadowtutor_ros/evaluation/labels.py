# SPDX-License-Identifier: Apache-2.0
"""A teacher's labels of a whole video, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Iterable
import hashlib
import os
from pathlib import Path
import zipfile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.protocol import Teacher

Frame = NDArray[np.uint8]


def cache_folder() -> Path:
    """Return ``$SHADOWTUTOR_CACHE`` or ``~/.cache/shadowtutor``, made if needed."""
    folder = Path(os.environ.get('SHADOWTUTOR_CACHE', '~/.cache/shadowtutor')).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def label_frames(
    frames: Iterable[Frame], count: int, fps: float, teacher: Teacher, classes: ClassSet,
) -> NDArray[np.uint8]:
    """
    Return the teacher's NxHxW class ids of ``count`` frames of one size, cached on disk.

    The cache key is the frames' content, the teacher with its version, and the classes.
    """
    frames = list(frames)[:count]
    key = hashlib.sha256(f'{teacher.name} {teacher.version} {classes}'.encode())
    for frame in frames:
        key.update(frame.tobytes())
    path = cache_folder() / 'labels' / f'{key.hexdigest()[:24]}.npz'
    if (cached := _read(path)) is not None:
        return cached
    labels = np.stack([
        teacher.label(frame, index / fps).class_ids
        for index, frame in enumerate(tqdm(frames, f'{teacher.name} labels', unit='frame'))])
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix('.part.npz')
    np.savez_compressed(part, labels=labels)
    part.replace(path)
    return labels


def _read(path: Path) -> NDArray[np.uint8] | None:
    if not path.is_file():
        return None
    try:
        with np.load(path) as archive:
            labels: NDArray[np.uint8] = archive['labels']
            return labels
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # damaged: labelled again
