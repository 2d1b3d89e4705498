# SPDX-License-Identifier: Apache-2.0
"""Lessons for those who look on, after the answer and without delaying anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
import logging
import threading

from shadowtutor_ros.distill.trainer import Trainer
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Mask, Student
from shadowtutor_ros.runtime.job import Job, OnLesson
from shadowtutor_ros.runtime.stream import Stream
from shadowtutor_ros.tasks.drawing import drawing_of, perfect_answer
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.wire.update import StudentUpdate

_LOG = logging.getLogger(__name__)
_WAITING = 8  # lessons at most that wait to be shown; more are not shown


class Onlookers:
    """
    Shows lessons from a thread of its own; when that is behind, lessons are not shown.

    What nobody asked to see costs nothing, and is made when somebody comes late: of the key frame
    that the stream remembers, by a student like ``first`` with the stream's weights.
    """

    def __init__(self, first: Student) -> None:
        self._first = first
        self._thread = ThreadPoolExecutor(1, 'show')
        self._places = threading.Semaphore(_WAITING)
        self._last: dict[str, StudentUpdate] = {}  # by stream, without the weights

    def note(self, update: StudentUpdate) -> None:
        """Remember what a stream's last lesson was; it costs nothing."""
        self._last[update.stream_id] = replace(
            update, weights=replace(update.weights, tensors=(), payload=b''))

    def offer(self, job: Job, update: StudentUpdate, trainer: Trainer) -> None:
        """Show the lesson that the trainer has just given, if the job asks for it."""
        if job.on_lesson is None or not self._places.acquire(blocking=False):
            return
        assert job.frame is not None
        assert job.labelling is not None
        try:
            lesson = _drawn(trainer.student, update, job.frame, job.labelling, trainer.answer())
        except Exception as error:
            self._places.release()
            _LOG.warning('lesson not shown: %s', error)
            return
        self._thread.submit(self._show, partial(job.on_lesson, *lesson))

    def again(self, streams: Sequence[Stream], on_lesson: OnLesson) -> None:
        """Show the streams' last lessons to who comes late, where key frames are remembered."""
        if self._places.acquire(blocking=False):
            self._thread.submit(self._show, partial(self._make, streams, on_lesson))

    def forget(self, stream_id: str) -> None:
        """Let go of a stream that has ended."""
        self._last.pop(stream_id, None)

    def _make(self, streams: Sequence[Stream], on_lesson: OnLesson) -> None:
        student = self._first.clone()
        for stream in streams:
            last, kept = self._last.get(stream.stream_id), stream.remembered()
            if last is not None and kept is not None:
                example, weights = kept
                student.load(weights)
                on_lesson(*_drawn(student, last, example.frame, example.labelling,
                                  student.segment(example.frame)))

    def _show(self, show: Callable[[], None]) -> None:
        try:
            show()
        except Exception as error:
            _LOG.warning('lesson not shown: %s', error)
        finally:
            self._places.release()


def _drawn(
    student: Student, update: StudentUpdate, frame: Frame, labelling: Labelling, answer: Mask,
) -> tuple[StudentUpdate, Frame, Mask, Mask]:
    """Return a lesson with what the teacher and the student say as maps of class ids."""
    task, classes = student.task, student.network.classes
    size = frame.shape[0], frame.shape[1]
    wanted = perfect_answer(task, labelling, classes)
    return (update, frame, drawing_of(task, wanted, size, classes),
            drawing_of(task, answer, size, classes))
