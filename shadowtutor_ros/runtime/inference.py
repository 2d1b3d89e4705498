# SPDX-License-Identifier: Apache-2.0
"""Who answers the frames of a stream: the device beside the loop, and later others too."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol

from torch import Tensor

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Mask, Student


class Inference(Protocol):
    """
    Answers frames in the order in which they were submitted.

    It belongs to one student, whose weights it runs from the start. One thread at a time calls
    it; the answers may come from any.
    """

    def submit(self, frame: Frame) -> Future[Mask]:
        """
        Return what will be the HxW uint8 class ids of a BGR uint8 HxWx3 frame.

        Whatever goes wrong, also with the device, is the future's exception.
        """

    def load(self, tensors: Mapping[str, Tensor], version: int) -> None:
        """
        Take new weights; they are the student's when this returns.

        A barrier: frames submitted before are answered by the old weights, all others by those
        of ``version``. Raise KeyError or ValueError, with nothing changed, for tensors that are
        not of the student's names and shapes.
        """


class LocalInference:
    """The student's own device, which answers while ``submit`` runs."""

    def __init__(self, student: Student) -> None:
        self._student = student

    def submit(self, frame: Frame) -> Future[Mask]:
        answer: Future[Mask] = Future()
        try:
            answer.set_result(self._student.segment(frame))
        except Exception as error:
            answer.set_exception(error)
        return answer

    def load(self, tensors: Mapping[str, Tensor], version: int) -> None:
        self._student.load(tensors)
