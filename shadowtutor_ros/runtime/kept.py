# SPDX-License-Identifier: Apache-2.0
"""Students out of a state folder, a robot's or a tutor's, whether that runs or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import re
from typing import NamedTuple

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.robot_state import student_of_robot
from shadowtutor_ros.runtime.state_file import DamagedState, unpack
from shadowtutor_ros.runtime.stream import FirstStudent, Stream
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.snapshot import BadSnapshot, Snapshot
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.weights import FP32

_OF_A_TUTOR = re.compile('([0-9a-f]{16}) (.*)', re.DOTALL)  # layout hash and stream


class KeptStream(NamedTuple):
    """A snapshot; ``layout_hash`` of the student in a tutor's, None in a robot's."""

    snapshot: Snapshot
    layout_hash: int | None


class NoSuchStudent(ShadowTutorError):
    """Nothing is kept of a stream, or nothing that can be used."""


def kept_streams(folder: Path) -> Mapping[str, KeptStream]:
    """
    Return the newest snapshot of every stream that a robot's or tutor's state folder has.

    Raise NoSuchStudent when there is none.
    """
    found: dict[str, KeptStream] = {}
    for path in sorted(folder.rglob('*.state'), key=lambda path: path.stat().st_mtime):
        try:
            key, snapshot = unpack(path.read_bytes())
        except (OSError, DamagedState):  # as if it were not there: others may do
            continue
        match = _OF_A_TUTOR.fullmatch(key)
        if 'info' in snapshot:
            found[key] = KeptStream(snapshot, None)
        elif match is not None and 'given' in snapshot:
            found[match[2]] = KeptStream(snapshot, int(match[1], 16))
    if not found:
        raise NoSuchStudent(f'{folder}: expected the state_folder of a robot or tutor that has '
                            'been taught, found no state of a stream')
    return found


def kept_student(kept: KeptStream, info: StudentInfo) -> Student:
    """
    Return the student that the stream's robot ran last, or was given last.

    ``info`` says what a tutor's students are; a robot's file says so itself. Raise NoSuchStudent.
    """
    try:
        if kept.layout_hash is None:
            return student_of_robot(kept.snapshot, 'cpu').student
        student = Student.random(info, 0)
        if student.layout_hash != kept.layout_hash:
            raise NoSuchStudent(
                f'the students kept there have other classes than {", ".join(info.class_names)}, '
                'or another network: name the class set of their tutor')
        settings = WeightSettings(encoding=FP32)
        stream = Stream.restored('', FirstStudent(student, settings), settings, kept.snapshot)
        return student_from_update(stream.whole(), info)
    except BadSnapshot as error:
        raise NoSuchStudent(f'what is kept there cannot be used: {error}') from error
