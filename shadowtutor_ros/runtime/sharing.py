# SPDX-License-Identifier: Apache-2.0
"""An Inference that several devices of one robot share: Musical Chair (arXiv:1802.02138)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
import math
import threading
import time

from torch import Tensor

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.student import Mask
from shadowtutor_ros.runtime.device import DealtJob, Device, Done
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.schedule.dealer import BACK, Deal, Dealer, OWN, Share
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.update import StudentUpdate

_LOOK = 0.1  # seconds
_WORTH = 1.0  # seconds after which a frame is not worth to be dealt again


class FrameLost(ShadowTutorError):
    """The device that had a frame is gone, and the frame is too old to be dealt again."""


@dataclass
class _Open:
    """
    A frame without an answer yet, and the weights that were the newest when it came.

    ``failed`` names the devices that could not do it.
    """

    picture: CameraPicture
    version: tuple[int, int]
    since: float
    failed: set[str] = field(default_factory=set)
    answer: Future[Mask] = field(default_factory=Future)


class SharedInference:
    """
    Deals the frames of ``student`` to the own device and to those that ``join``.

    Each answer is made with weights of one version, those that were the newest when its frame was
    submitted. The answers come in any order. One thread submits, loads and waits; devices join,
    answer and leave from any other. ``share`` is one of the dealer's SHARES, ``clock`` in seconds;
    ``begin`` is called first in the thread that computes.
    """

    def __init__(
        self, student: RunningStudent, share: str,
        clock: Callable[[], float] = time.monotonic, begin: Callable[[], None] = lambda: None,
    ) -> None:
        self._student, *version = student
        self._version = version[0], version[1]
        self._clock = clock
        self._dealer = Dealer(share)
        self._own = ThreadPoolExecutor(1, 'own', begin)
        self._changed = threading.Condition()
        self._joining: dict[str, Device] = {}
        self._devices: dict[str, Device] = {}
        self._open: dict[int, _Open] = {}
        self._number = 0
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._watch_out, name='share', daemon=True)
        self._watch.start()
        self.errors = ''  # what another device said last of a frame that it could not do

    # -- what an Inference promises --------------------------------------------------------------

    def submit(self, picture: CameraPicture) -> Future[Mask]:
        """See Inference; FrameLost may be what went wrong."""
        with self._changed:
            now = self._clock()
            opened = _Open(picture, self._version, now)
            self._deal(opened, now)
            self._probe(picture, now)
            self._changed.notify_all()
        return opened.answer

    def load(self, tensors: Mapping[str, Tensor], update: StudentUpdate) -> None:
        """See Inference; waits until the own device has done what it has."""
        self._own.submit(self._load, tensors, update).result()

    def exchange(self, student: RunningStudent) -> None:
        """See Inference."""
        self._own.submit(self._exchange, student).result()

    def wait(self) -> None:
        """See Inference."""
        with self._changed:
            while (at := self._dealer.room_at(now := self._clock())) > now:
                self._changed.wait(min(at - now, threading.TIMEOUT_MAX))

    # -- other devices ---------------------------------------------------------------------------

    def join(self, device: Device) -> None:
        """Have a device work too, after it has been given the student."""
        with self._changed:
            self._joining[device.name] = device
        self._own.submit(self._join, device)

    def leave(self, name: str) -> None:
        """Do without a device; what it had is dealt again, or lost."""
        with self._changed:
            self._joining.pop(name, None)
            self._devices.pop(name, None)
            self._deal_again(self._dealer.leave(name), self._clock())
            self._changed.notify_all()

    def on_done(self, device: Device, done: Done) -> None:
        """Take a device's answer, which may be late, or of one that has left."""
        with self._changed:
            if self._devices.get(device.name) is not device:
                return
            opened = self._open.get(done.number)
            now = self._clock()
            self._dealer.done(device.name, done.number, done.service_seconds,
                              done.on_the_way_seconds, now, good=done.mask is not None)
            if done.mask is None:
                self.errors = f'{device.name}: {done.error}'
                if opened is not None:
                    opened.failed.add(device.name)
                    self._deal_again([done.number], now)
                opened = None
            elif opened is not None:
                del self._open[done.number]
            self._changed.notify_all()
        if opened is not None and done.mask is not None:
            opened.answer.set_result(done.mask)

    def shares(self) -> tuple[str, list[Share]]:
        """Return how frames are shared now, and what each device did, the own one first."""
        with self._changed:
            return self._dealer.doing, self._dealer.shares()

    def close(self) -> None:
        """Let go of all frames, which are lost, and end the own device's thread."""
        self._ended.set()
        self._watch.join()
        with self._changed:
            lost = list(self._open.values())
            self._open.clear()
            self._devices.clear()
        self._own.shutdown(cancel_futures=True)
        for opened in lost:
            opened.answer.set_exception(FrameLost('the student ends'))

    def _watch_out(self) -> None:
        """Deal again, in a thread of its own, what a device keeps for too long."""
        while not self._ended.wait(_LOOK):
            with self._changed:
                now = self._clock()
                if late := self._dealer.overdue(now):
                    self._deal_again(late, now)
                    self._changed.notify_all()

    # -- with the lock ---------------------------------------------------------------------------

    def _deal(self, opened: _Open, now: float) -> None:
        number = self._next()
        self._open[number] = opened
        self._give(number, self._dealer.deal(number, now) or self._dealer.force(number, now),
                   opened.picture)

    def _probe(self, picture: CameraPicture, now: float) -> None:
        """Have who was not measured lately work on a copy."""
        number = self._next()
        if (deal := self._dealer.probe(number, now)) is not None:
            self._give(number, deal, picture)

    def _give(self, number: int, deal: Deal, picture: CameraPicture) -> None:
        if deal.device == OWN:
            self._own.submit(self._work, number, picture)
        elif deal.kind == BACK:
            self._own.submit(self._front, number, deal.device, picture)
        else:
            self._devices[deal.device].work(DealtJob(number, self._version, picture))

    def _deal_again(self, numbers: list[int], now: float) -> None:
        for number in numbers:
            if (opened := self._open.pop(number, None)) is None:
                continue
            if opened.version == self._version and now - opened.since < _WORTH:
                self._deal(opened, now)
            else:
                opened.answer.set_exception(FrameLost('the device that had it did not answer'))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _look_at_weights(self, number: int) -> None:
        """Let go of a frame that was dealt again after the own device had learnt something."""
        with self._changed:
            opened = self._open.get(number)
            if opened is not None and opened.version != self._version:
                self._deal_again([number], math.inf)

    # -- in the own device's thread, one after the other -----------------------------------------

    def _work(self, number: int, picture: CameraPicture) -> None:
        self._look_at_weights(number)
        started = self._clock()
        try:
            answer, error = self._student.segment(picture.frame()), None
        except Exception as caught:
            answer, error = None, caught
        with self._changed:
            now = self._clock()
            self._dealer.done(OWN, number, now - started, 0.0, now, good=error is None)
            opened = self._open.pop(number, None)
            if opened is not None and isinstance(error, BadImage):
                self._dealer.pardon(opened.failed)
            self._changed.notify_all()
        if opened is None:
            return
        if error is not None:
            opened.answer.set_exception(error)
        elif answer is not None:
            opened.answer.set_result(answer)

    def _front(self, number: int, name: str, picture: CameraPicture) -> None:
        self._look_at_weights(number)
        started = self._clock()
        try:
            features = self._student.front(picture.frame())
        except Exception as error:
            with self._changed:
                self._dealer.done(OWN, number, 0.0, 0.0, started, good=False)
                self._dealer.take_back(name, number)
                opened = self._open.pop(number, None)
                self._changed.notify_all()
            if opened is not None:
                opened.answer.set_exception(error)
            return
        with self._changed:
            now = self._clock()
            self._dealer.front_done(number, now - started, now)
            # Whoever had it may have left meanwhile, and the frame been dealt again.
            if (device := self._devices.get(name)) is not None:
                device.work(DealtJob(number, self._version, picture, features))
            self._changed.notify_all()

    def _load(self, tensors: Mapping[str, Tensor], update: StudentUpdate) -> None:
        self._student.load(tensors)
        with self._changed:
            self._version = update.session_id, update.version
            for device in self._devices.values():
                device.learn(update)

    def _exchange(self, student: RunningStudent) -> None:
        with self._changed:
            self._student, *version = student
            self._version = version[0], version[1]
            for device in self._devices.values():
                device.learn(student)

    def _join(self, device: Device) -> None:
        with self._changed:
            if self._joining.get(device.name) is not device:  # it has left already
                return
            del self._joining[device.name]
            self._devices[device.name] = device
            self._dealer.join(device.name)
            device.learn(RunningStudent(self._student.clone(), *self._version))
