# SPDX-License-Identifier: Apache-2.0
"""The way of key frames through a tutor: decode, label several at once, teach at desks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import LifoQueue
import threading
from typing import Generic, TypeVar

import torch

from shadowtutor_ros.distill.trainer import Trainer

T = TypeVar('T')

_DECODERS = 2


@dataclass(frozen=True)
class Stages(Generic[T]):
    """
    What is done with key frames; none of it raises.

    ``take`` returns whose turn it is, None if nobody waits. ``decode`` makes a frame of bytes,
    ``label`` asks the teacher about some; they return what shall go on. ``teach`` teaches, judges,
    encodes and answers. ``done`` takes note that a key frame's way has ended, wherever.
    """

    take: Callable[[], T | None]
    decode: Callable[[T], bool]
    label: Callable[[Sequence[T]], Sequence[T]]
    teach: Callable[[T, Trainer], None]
    done: Callable[[T], None]


class Pipeline(Generic[T]):
    """
    Threads for every stage, so that none waits for what another does.

    A *desk* is a thread with a trainer, at which one key frame at a time is taught. No more than
    ``batch`` key frames, which the teacher labels together, are decoded and labelled at the same
    time, and as many more may be labelled or taught as there are desks: who waits longer is not
    bound to his turn yet. On a CPU all who work share torch's threads.

    It knows the stages of what is under way alone: who offers them can be let go of without it.
    """

    def __init__(self, desks: Sequence[Trainer], batch: int) -> None:
        self._batch = batch
        self._most = len(desks) + batch
        self._on_cpu = desks[0].student.device.type == 'cpu'
        self._threads = torch.get_num_threads()
        self._decoders = ThreadPoolExecutor(_DECODERS, 'decode')
        self._labellers = ThreadPoolExecutor(1, 'label')
        self._teachers = ThreadPoolExecutor(len(desks), 'teach')
        # The one that was used last has recorded what its lessons do, where a device records.
        self._desks: LifoQueue[Trainer] = LifoQueue()
        for desk in desks:
            self._desks.put(desk)
        self._decoded: deque[T] = deque()
        self._under_way = self._unlabelled = 0
        self._lock = threading.Lock()

    def pull(self, stages: Stages[T]) -> None:
        """Let key frames begin that wait, as many as there is room for."""
        while True:
            with self._lock:
                if self._under_way == self._most or self._unlabelled == self._batch:
                    return
                job = stages.take()
                if job is None:
                    return
                self._under_way += 1
                self._unlabelled += 1
            self._decoders.submit(self._decode, stages, job)

    def _decode(self, stages: Stages[T], job: T) -> None:
        if not stages.decode(job):
            with self._lock:
                self._unlabelled -= 1
            self._end(stages, job)
            return
        with self._lock:
            self._decoded.append(job)
        self._labellers.submit(self._label, stages)

    def _label(self, stages: Stages[T]) -> None:
        with self._lock:
            jobs = [self._decoded.popleft() for _ in range(min(self._batch, len(self._decoded)))]
        if not jobs:  # they were labelled with others
            return
        with self._part_of_threads():
            labelled = stages.label(jobs)
        with self._lock:
            self._unlabelled -= len(jobs)
        for job in jobs:
            if job in labelled:
                self._teachers.submit(self._teach, stages, job)
            else:
                self._end(stages, job)
        self.pull(stages)

    def _teach(self, stages: Stages[T], job: T) -> None:
        desk = self._desks.get()
        try:
            with self._part_of_threads(), desk.apart():
                stages.teach(job, desk)
        finally:
            self._desks.put(desk)
            self._end(stages, job)

    def _end(self, stages: Stages[T], job: T) -> None:
        with self._lock:
            self._under_way -= 1
        stages.done(job)
        self.pull(stages)

    @contextmanager
    def _part_of_threads(self) -> Iterator[None]:
        """Let this thread use its part of torch's threads: barriers among more cost time."""
        if not self._on_cpu:
            yield
            return
        torch.set_num_threads(max(1, round(self._threads / max(1, self._under_way))))
        try:
            yield
        finally:
            # Threads that are made later begin with what any thread set last.
            torch.set_num_threads(self._threads)
