# SPDX-License-Identifier: Apache-2.0
"""Devices that share a robot's frames, as threads of this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
import threading
import time

from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.runtime.device import DealtJob, Device, Done
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.sharing import SharedInference
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.update import StudentUpdate, verify_update
from shadowtutor_ros.wire.weights import encode_weights, FP32


class NearDevice:
    """
    A device with a student of its own, that works when it may ``go``, and says so to ``on_done``.

    ``did`` are numbers of its jobs, and whether it was given a frame or features.
    """

    def __init__(self, name: str, on_done: Callable[[Device, Done], None]) -> None:
        self.name = name
        self.go = threading.Event()
        self.go.set()
        self.error = ''  # it says so in place of every mask
        self.did: list[tuple[int, str]] = []
        self._on_done = on_done
        self._thread = ThreadPoolExecutor(1)
        self._has: RunningStudent | None = None

    def learn(self, student: RunningStudent | StudentUpdate) -> None:
        self._thread.submit(self._learn, student)

    def work(self, job: DealtJob) -> None:
        self._thread.submit(self._work, job)

    def close(self) -> None:
        self.go.set()
        self._thread.shutdown(cancel_futures=True)

    def _learn(self, student: RunningStudent | StudentUpdate) -> None:
        if isinstance(student, RunningStudent):
            self._has = student
            return
        assert self._has is not None
        net, session, version = self._has
        net.load(verify_update(student, net, session, version))
        self._has = RunningStudent(net, student.session_id, student.version)

    def _work(self, job: DealtJob) -> None:
        self.go.wait()
        if self.error:
            self._on_done(self, Done(job.number, None, self.error, 0.0, 0.0))
            return
        assert self._has is not None
        assert job.version == self._has[1:]
        started = time.monotonic()
        if job.features is None:
            try:
                frame = job.picture.frame()
            except BadImage as error:
                self._on_done(self, Done(job.number, None, str(error), 0.0, 0.0))
                return
            mask = self._has.student.segment(frame)
        else:
            mask = self._has.student.back(job.features, job.picture.size)
        self.did.append((job.number, 'frame' if job.features is None else 'features'))
        self._on_done(self, Done(job.number, mask, '', time.monotonic() - started, 0.0))


class Shared(SharedInference):
    """A SharedInference of two near devices, ``a`` and ``b``."""

    def __init__(self, student: Student, share: str = 'frames', version: int = 1) -> None:
        super().__init__(RunningStudent(student, SESSION, version), share)
        self.near = [NearDevice(name, self.on_done) for name in 'ab']
        for device in self.near:
            self.join(device)

    def close(self) -> None:
        for device in self.near:
            device.close()
        super().close()


SESSION = 7


def whole_update(to: Student, version: int, session: int = SESSION) -> StudentUpdate:
    """Return the update with which any student becomes ``to``."""
    return StudentUpdate('test', 1, 0, '', to.layout_hash, FULL, session, 0, version,
                         encode_weights(to.weights(FULL), FP32))
