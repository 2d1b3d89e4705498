# SPDX-License-Identifier: Apache-2.0
"""The weights that a robot runs, kept on its disk so that it begins with them next time."""

from __future__ import annotations

import hashlib
from pathlib import Path
import time

import numpy as np
import torch

from shadowtutor_ros.model.checkpoint import info_from_text, info_to_text
from shadowtutor_ros.model.groups import FULL, shapes_of
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.model.table import BadConfiguration, UnknownArchitecture
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.state_folder import StateFolder
from shadowtutor_ros.snapshot import (
    array_of,
    BadSnapshot,
    number_from,
    Snapshot,
    tensor_from,
    text_array,
    text_from,
)
from shadowtutor_ros.tasks.table import UnknownTask
from shadowtutor_ros.wire.update import NO_SESSION

_PERIOD = 5.0  # seconds from one file to the next
_FILES, _BYTES = 2, 1 << 30  # the newest, and one that was damaged


class RobotState:
    """
    Keeps the student of one stream in ``folder``, which streams may share.

    One thread at a time calls it; another one writes.
    """

    def __init__(self, folder: Path, stream_id: str, period: float = _PERIOD) -> None:
        """Write at most every ``period`` seconds; raise UnusableStateFolder."""
        own = hashlib.blake2b(stream_id.encode(), digest_size=16).hexdigest()
        self._folder = StateFolder(folder / own, _FILES, _BYTES)
        self._stream_id = stream_id
        self._period = period
        self._kept = (NO_SESSION, 0)
        self._kept_at = -period

    def load(self, device: str | torch.device = 'cpu') -> RunningStudent | None:
        """Return what was kept, None where there is nothing; a damaged file is warned of."""
        snapshot = self._folder.get(self._stream_id)
        if snapshot is None:
            return None
        try:
            kept = student_of_robot(snapshot, device)
        except (BadSnapshot, UnknownTask, UnknownArchitecture, BadConfiguration) as error:
            self._folder.set_aside(self._stream_id, error)
            return None
        self._kept = kept.session_id, kept.version
        return kept

    def keep(
        self, student: Student, session_id: int, version: int, at_once: bool = False,
    ) -> None:
        """
        Have the student written if it is not and there was time since the last one.

        Weights of no session are a checkpoint's, which is a file already.
        """
        now = time.monotonic()
        if session_id == NO_SESSION or (session_id, version) == self._kept or (
                not at_once and now < self._kept_at + self._period):
            return
        self._kept, self._kept_at = (session_id, version), now
        self._folder.put(self._stream_id, {
            'info': text_array(info_to_text(student.info)),
            'session_id': np.array(session_id, np.uint64), 'version': np.array(version),
            **{f'weights/{name}': array_of(tensor.cpu().clone())
               for name, tensor in student.weights(FULL).items()}})

    def close(self) -> None:
        """Write what waits and let others use the folder."""
        self._folder.close()


def student_of_robot(snapshot: Snapshot, device: str | torch.device) -> RunningStudent:
    """
    Return what ``RobotState.keep`` wrote.

    Raise BadSnapshot, UnknownTask, UnknownArchitecture or BadConfiguration.
    """
    text = text_from(snapshot, 'info')
    try:
        info = info_from_text(text)
    except (ValueError, KeyError, TypeError) as error:
        raise BadSnapshot(f'info: expected what describes a student, got {error!r}') from error
    student = Student(info, info.network(), device)
    student.load({name: tensor_from(snapshot, f'weights/{name}', shape)
                  for name, shape in shapes_of(student.weights(FULL)).items()})
    return RunningStudent(student, number_from(snapshot, 'session_id', np.uint64),
                       number_from(snapshot, 'version'))
