# SPDX-License-Identifier: Apache-2.0
"""What serves robots, whether it is one tutor in this process or a pool of them elsewhere."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Protocol

from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.student import StudentInfo
from shadowtutor_ros.runtime.job import OnLesson, OnProgress
from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate


class Teaching(Protocol):
    """As Tutor says; every method may be called from any thread."""

    teacher_name: str
    max_streams: int
    bytes_per_stream: int

    @property
    def info(self) -> StudentInfo: ...

    @property
    def streams(self) -> tuple[str, ...]: ...

    def change(self, distill: DistillSettings) -> None: ...

    def admit(self, stream_id: str, robot: int = 0) -> None: ...

    def first_student(self, stream_id: str, robot: int = 0) -> StudentUpdate: ...

    def submit(
        self, key_frame: KeyFrame, on_progress: OnProgress | None = None,
        on_lesson: OnLesson | None = None,
    ) -> Future[StudentUpdate]: ...

    def show_again(self, on_lesson: OnLesson) -> None: ...

    def report(self) -> TutorReport: ...

    def close(self) -> None: ...
