# SPDX-License-Identifier: Apache-2.0
"""Who answers the frames of a stream: the device beside the loop, or others with it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol

from torch import Tensor

from shadowtutor_ros.model.student import Mask, Student
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.update import StudentUpdate


class Inference(Protocol):
    """
    Answers frames.

    It begins with one student's weights. One thread at a time calls it; the answers may come from
    any.
    """

    def submit(self, picture: CameraPicture) -> Future[Mask]:
        """
        Return what will be the HxW uint8 class ids of a picture.

        Whatever goes wrong, also with the device, is the future's exception.
        """

    def load(self, tensors: Mapping[str, Tensor], update: StudentUpdate) -> None:
        """
        Take new weights, ``tensors`` of ``update``; they are the student's when this returns.

        A barrier: frames submitted before are answered by the old weights, all others by the new
        ones. Raise KeyError or ValueError, with nothing changed, for tensors that are not of the
        student's names and shapes.
        """

    def exchange(self, student: RunningStudent) -> None:
        """Go on with another student: a barrier, too."""

    def wait(self) -> None:
        """Return as soon as somebody would begin with a frame that is submitted now."""


class LocalInference:
    """The student's own device, which answers while ``submit`` runs."""

    def __init__(self, student: Student) -> None:
        self._student = student

    def submit(self, picture: CameraPicture) -> Future[Mask]:
        answer: Future[Mask] = Future()
        try:
            answer.set_result(self._student.segment(picture.frame()))
        except Exception as error:
            answer.set_exception(error)
        return answer

    def load(self, tensors: Mapping[str, Tensor], update: StudentUpdate) -> None:
        self._student.load(tensors)

    def exchange(self, student: RunningStudent) -> None:
        self._student = student.student

    def wait(self) -> None:
        """Somebody always does."""
