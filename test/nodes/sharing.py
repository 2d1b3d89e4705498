# SPDX-License-Identifier: Apache-2.0
"""A robot that deals frames to helpers as a test wants it."""

import threading

import numpy as np
from robots import wait_until
import torch

from shadowtutor_ros.model.groups import PARTIAL
from shadowtutor_ros.model.student import Mask, Student, StudentInfo
from shadowtutor_ros.runtime.device import DealtJob, Device, Done
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.encodings import WEIGHT_ENCODINGS
from shadowtutor_ros.wire.update import StudentUpdate, verify_update

TIMEOUT = 60.0
SESSION = 5


class SharingRobot:
    """Shares: teaches whoever joins, and keeps what they answer."""

    def __init__(self, info: StudentInfo) -> None:
        self.student = Student.random(info, 2)
        self.version = 1
        self.devices: dict[str, Device] = {}
        self.joins: list[str] = []
        self.leaves: list[str] = []
        self.done: dict[int, Done] = {}
        self._number = 0
        self._lock = threading.Lock()

    def join(self, device: Device) -> None:
        with self._lock:
            device.learn(RunningStudent(self.student, SESSION, self.version))
            self.joins.append(device.name)
            self.devices[device.name] = device

    def leave(self, name: str) -> None:
        with self._lock:
            self.leaves.append(name)
            del self.devices[name]

    def on_done(self, device: Device, done: Done) -> None:
        self.done[done.number] = done

    def deal(self, name: str, frame: np.ndarray, features: bool = False) -> int:
        self._number += 1
        self.devices[name].work(DealtJob(
            self._number, (SESSION, self.version), CameraPicture.of(frame),
            self.student.front(frame) if features else None))
        return self._number

    def answer(self, number: int) -> Done:
        wait_until(lambda: number in self.done, TIMEOUT)
        return self.done[number]

    def mask(self, name: str, frame: np.ndarray) -> Mask:
        done = self.answer(self.deal(name, frame))
        assert done.mask is not None, done.error
        assert done.service_seconds > 0
        assert done.on_the_way_seconds > 0
        return done.mask

    def learn(self) -> None:
        """Have all learn the same."""
        running = self.student.weights(PARTIAL)
        generator = torch.Generator().manual_seed(self.version)
        taught = {name: tensor + 0.02 * torch.randn(tensor.shape, generator=generator)
                  for name, tensor in running.items()}
        encoded = next(iter(WEIGHT_ENCODINGS['delta-dct'].encode(taught, running, {}, 1.0)))
        update = StudentUpdate('robot', 1, 0, '', self.student.layout_hash, PARTIAL, SESSION,
                               self.version, self.version + 1, encoded)
        with self._lock:
            self.student.load(verify_update(update, self.student, SESSION, self.version))
            self.version += 1
            for device in self.devices.values():
                device.learn(update)
