# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1 recorded as CUDA graphs, once for each size of frames and each group."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
import copy
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from shadowtutor_ros.cuda_graph import Recording
from shadowtutor_ros.distill.algorithm import Algorithm1, Variables
from shadowtutor_ros.distill.state import TrainingState
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.upload import upload

_KEPT = 4  # sizes and groups; each takes the memory of a step
_SLOTS = 8  # reports that may be under way

T = TypeVar('T')


class Records(Protocol):
    """What records work, as ``cuda_graph.Recorder`` does."""

    def record(self, work: Callable[[], T]) -> Recording[T] | None: ...


class NotRecorded(Exception):
    """The device, or something in the work, does not let itself be recorded."""


class RecordedAlgorithm1(Algorithm1):
    """
    Algorithm 1 for any student whose weights are put in ``state``, and any frame of one size.

    Raise NotRecorded.
    """

    repeats = True

    def __init__(
        self, student: Student, state: TrainingState, group: str, pixels: Tensor, target: Any,
        recorder: Records,
    ) -> None:
        super().__init__(student, state, group, pixels, target)
        self._practice = pixels.clone(), copy.deepcopy(target)
        # With variables of 0 no step is wanted: nothing changes while this is recorded.
        self._read, self._look, self._step, self._practise = (
            _recorded(recorder, work)
            for work in (super().read, super().look, super().step, super().practise))
        pinned = student.device.type == 'cuda'
        self._reports = torch.zeros(
            _SLOTS, len(Variables._fields), dtype=torch.float64, pin_memory=pinned)
        self._slot = 0

    def fill(self, frame: Frame, target: Any) -> None:
        """Go on with another key frame of the same size."""
        self.pixels.copy_(upload(frame, self.pixels.device))
        self._task.refill(self.target, target)

    def read(self) -> None:
        self._read.replay()

    def look(self) -> None:
        self._look.replay()

    def step(self) -> None:
        self._step.replay()

    def fill_practice(self, pixels: Tensor, target: Any) -> None:
        assert self._practice is not None
        own, own_target = self._practice
        own.copy_(pixels)
        self._task.refill(own_target, target)

    def practise(self) -> None:
        self._practise.replay()

    def judge(self) -> None:
        self._look.replay()

    def report(self) -> Callable[[], Variables]:
        slot = self._reports[self._slot]
        self._slot = (self._slot + 1) % _SLOTS
        slot.copy_(self._variables, non_blocking=True)
        if self.pixels.device.type != 'cuda':
            return lambda: Variables(*slot.tolist())
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()

        def wait() -> Variables:
            done.synchronize()
            return Variables(*slot.tolist())
        return wait


class Recordings:
    """The recordings for one student's network; where recording fails the work runs as it is."""

    def __init__(self, student: Student, state: TrainingState, recorder: Records) -> None:
        self._student, self._state, self._recorder = student, state, recorder
        self._known: OrderedDict[tuple[Any, ...], RecordedAlgorithm1 | None] = OrderedDict()

    def of(self, group: str, frame: Frame, target: Any) -> Algorithm1:
        """Return Algorithm 1 for a BGR uint8 HxWx3 ``frame`` and its ``target``."""
        key = group, frame.shape
        if key not in self._known:
            self._known[key] = self._record(group, frame, target)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        recorded = self._known[key]
        if recorded is None:
            return Algorithm1(
                self._student, self._state, group, self._student.pixels(frame), target)
        recorded.fill(frame, target)
        return recorded

    def _record(self, group: str, frame: Frame, target: Any) -> RecordedAlgorithm1 | None:
        try:
            return RecordedAlgorithm1(self._student, self._state, group,
                                      self._student.pixels(frame), target, self._recorder)
        except NotRecorded:
            return None


def _recorded(recorder: Records, work: Callable[[], None]) -> Recording[None]:
    recording = recorder.record(work)
    if recording is None:
        raise NotRecorded
    return recording
