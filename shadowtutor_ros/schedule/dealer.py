# SPDX-License-Identifier: Apache-2.0
"""Which device of a robot works on a frame, by what was measured of each: no clock, no thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
import math

FRAMES, PIPELINE, AUTO = 'frames', 'pipeline', 'auto'
SHARES = (FRAMES, PIPELINE, AUTO)
ALONE = 'alone'  # what is done when no other device is any good

OWN = ''  # the device that has the camera

# What a device does with a frame: the whole network, or its back after the own device's front.
WHOLE, BACK = 'whole', 'back'

_DEPTH = 2  # jobs at another device: one that it works on, one on its way
_SLACK = 0.15  # of a job's time: how early the next one may be there
_TOLERATED = 3.0  # times the best device's response: masks come in order, the others would wait
_PATIENCE, _GRACE = 2.5, 0.2  # a job is overdue after so many times what it should take, plus that
_FIRST = 5.0  # seconds for a first job, which comes behind a whole student
_NEWS = 0.3  # weight of the newest measurement
_FRONT = 0.3  # of a whole frame's time: a front takes more
_BETTER = 1.1  # times as fast another way of sharing must be to be taken instead
# Seconds after which a device that gets nothing is measured again: sooner if it did not answer,
# later if that takes the own device's time.
_PROBE_EVERY = {WHOLE: 2.0, BACK: 20.0}
_PROBE_SILENT, _PROBE_OWN = 0.5, 5.0


@dataclass(frozen=True)
class Pace:
    """What a kind of job takes at a device: ``service`` seconds there, ``way`` to it and back."""

    service: float
    way: float = 0.0

    @property
    def response(self) -> float:
        """Seconds from dealing to the answer when the device has nothing else to do."""
        return self.way + self.service

    @property
    def rate(self) -> float:
        """Jobs per second, one on its way while another is worked on."""
        return 1 / max(self.service, self.way, 1e-9)

    def after(self, service: float, way: float) -> Pace:
        """Return the pace with one more measurement."""
        return Pace(self.service + _NEWS * (service - self.service),
                    self.way + _NEWS * (way - self.way))


@dataclass(frozen=True)
class Deal:
    """A job is ``device``'s; one of ``kind`` BACK goes there once the own device has its front."""

    device: str
    kind: str = WHOLE


@dataclass(frozen=True)
class Share:
    """What a device did: ``frames`` answered, its ``pace`` (None: unknown), whether it answers."""

    device: str
    frames: int
    pace: Pace | None
    answers: bool


@dataclass
class _Dealt:
    kind: str
    at: float
    due: float  # overdue from then on
    probe: bool


@dataclass
class _Device:
    name: str
    paces: dict[str, Pace] = field(default_factory=dict)
    jobs: dict[int, _Dealt] = field(default_factory=dict)  # oldest first
    measured: dict[str, float] = field(default_factory=dict)  # when, by kind
    warm: set[str] = field(default_factory=set)  # the kinds that it has done once
    answers: bool = True
    frames: int = 0

    def free_at(self, now: float) -> float:
        """Return when it will have done all that it has."""
        free = -math.inf
        for job in self.jobs.values():
            if (pace := self.paces.get(job.kind)) is None:
                return math.inf
            free = max(free, job.at + pace.way) + pace.service
        return max(now, free)

    def room_at(self, kind: str, now: float, ahead: float = 0.0) -> float:
        """
        Return from when on a job that is dealt would not have to wait; inf: not foreseeable.

        It sets out ``ahead`` seconds after it is dealt.
        """
        pace = self.paces[kind]
        if self.name == OWN:
            return math.inf if self.jobs else now
        if len(self.jobs) >= _DEPTH:
            return math.inf
        return max(now, self.free_at(now) - ahead - pace.way - _SLACK * pace.service)


class Dealer:
    """
    Deals frames to the robot's own device and to others, as they join and leave.

    ``share`` is one of SHARES. By FRAMES every device gets whole frames. By PIPELINE the own
    device runs the front of the network for all, the others its back; without others, or before
    they are measured, it works alone. AUTO is the one that should give more frames per second.
    All times are seconds of one clock. Nobody is given more than it can begin with soon: a frame
    that nobody has room for waits for its turn, or for a newer one, with whoever asks.
    """

    def __init__(self, share: str) -> None:
        if share not in SHARES:
            raise ValueError(f'share: expected one of {", ".join(SHARES)}, got {share!r}')
        self.share = share
        self._own = _Device(OWN)
        self._front: Pace | None = None
        self._others: dict[str, _Device] = {}
        self._pipelined = share == PIPELINE

    @property
    def doing(self) -> str:
        """How frames are shared now: FRAMES, PIPELINE or ALONE."""
        if self._pipes():
            return PIPELINE
        return FRAMES if any(device is not self._own for device in self._good(WHOLE)) else ALONE

    def join(self, name: str) -> None:
        """Take a device, which is measured first."""
        self._others[name] = _Device(name)

    def leave(self, name: str) -> list[int]:
        """Forget a device; return the numbers of the frames that it had, oldest first."""
        device = self._others.pop(name, None)
        return _frames_of(device) if device is not None else []

    def room_at(self, now: float) -> float:
        """Return from when on ``deal`` deals a frame; inf: not before an answer has come."""
        kind, ahead = self._next_kind()
        if kind == BACK and self._own.jobs:
            return math.inf
        return min((device.room_at(kind, now, ahead) for device in self._good(kind)),
                   default=self._own_room_at(now))

    def deal(self, number: int, now: float) -> Deal | None:
        """Return who works on frame ``number``; None if nobody has room."""
        if self.share == AUTO:
            self._choose()
        if self.room_at(now) > now:
            return None
        kind, ahead = self._next_kind()
        with_room = [device for device in self._good(kind)
                     if device.room_at(kind, now, ahead) <= now]
        device = min(with_room, key=lambda device: _done_at(device, kind, now + ahead),
                     default=self._own)  # which is not measured yet
        if kind == BACK:
            self._give(self._own, number, WHOLE, now)
        self._give(device, number, kind, now + ahead)
        return Deal(device.name, kind)

    def force(self, number: int, now: float) -> Deal:
        """Give frame ``number`` to the own device, whatever it has."""
        self._give(self._own, number, WHOLE, now)
        return Deal(OWN)

    def probe(self, number: int, now: float) -> Deal | None:
        """
        Return whom to give a copy of a frame, as job ``number``, only to measure it.

        None when all that matter were measured lately. The job's answer is nobody's mask.
        """
        for device in (self._own, *self._others.values()):
            for kind in () if device.jobs else self._of_use(device):
                since = device.measured.get(kind, -math.inf)
                if now - since >= self._probe_every(device, kind):
                    device.measured[kind] = now
                    self._give(device, number, kind, now, probe=True)
                    return Deal(device.name, kind)
        return None

    def front_done(self, number: int, seconds: float, now: float) -> None:
        """Take note that the own device has made the front of ``number`` in ``seconds``."""
        self._own.jobs.pop(number, None)
        if WHOLE in self._own.warm:
            self._front = (
                Pace(seconds) if self._front is None else self._front.after(seconds, 0.0))
        for device in self._others.values():
            if (job := device.jobs.get(number)) is not None:
                job.due += now - job.at
                job.at = now

    def done(
        self, name: str, number: int, service: float, way: float, now: float,
        good: bool = True,
    ) -> None:
        """
        Take note of an answer, also of one that comes too late.

        A device whose answer to a frame is no ``good`` gets nothing but probes until one is.
        """
        device = self._own if name == OWN else self._others.get(name)
        if device is None:
            return
        job = device.jobs.pop(number, None)
        if good:
            device.answers = True
        elif device is not self._own and not (
                job is not None and job.probe and job.kind in device.paces):
            device.answers = False  # once measured, it is a frame that says so: see ``pardon``
        if not good:
            device.measured = dict.fromkeys(device.measured, now)
        if job is None or not good:
            return
        device.frames += not job.probe
        if job.kind not in device.warm:  # a first one takes longer than all others
            device.warm.add(job.kind)
            device.measured.pop(job.kind, None)
            return
        pace = device.paces.get(job.kind)
        device.paces[job.kind] = (
            Pace(service, way) if pace is None else pace.after(service, way))
        device.measured[job.kind] = now

    def take_back(self, name: str, number: int) -> None:
        """Take a job from a device that has not been given it."""
        if (device := self._others.get(name)) is not None:
            device.jobs.pop(number, None)

    def pardon(self, names: Iterable[str]) -> None:
        """Deal to devices again: what they could not do nobody can."""
        for name in names:
            if (device := self._others.get(name)) is not None:
                device.answers = True

    def overdue(self, now: float) -> list[int]:
        """Take all from devices that should have answered; return their frames' numbers."""
        late = []
        for device in self._others.values():
            if any(job.due <= now for job in device.jobs.values()):
                device.answers = False
                late += _frames_of(device)
                device.jobs.clear()
                device.measured = dict.fromkeys(device.measured, now)
        return sorted(late)

    def shares(self) -> list[Share]:
        """Return what each device did, the own one first."""
        return [Share(device.name, device.frames, device.paces.get(BACK if self._pipes()
                                                                   and device is not self._own
                                                                   else WHOLE), device.answers)
                for device in (self._own, *self._others.values())]

    # -- what to measure -----------------------------------------------------------------------

    def _of_use(self, device: _Device) -> tuple[str, ...]:
        """Return the kinds of jobs whose pace at a device decides something."""
        if device is self._own:
            # It is measured by frames, unless those go to better ones.
            return (WHOLE,) if self.share != PIPELINE and WHOLE in device.paces else ()
        if self.share == AUTO:
            return (WHOLE, BACK) if self._back_may_pay(device) else (WHOLE,)
        return {FRAMES: (WHOLE,), PIPELINE: (BACK,)}[self.share]

    def _back_may_pay(self, device: _Device) -> bool:
        """
        Say whether to measure a device's back: features are long, and cost the robot's time.

        Only if a pipeline may give more than frames do. First one device is measured; the others
        if, as fast as the best, they could make such a pipeline.
        """
        if self._pipelined:
            return True
        answering = [each for each in self._others.values() if each.answers]
        if not all(WHOLE in each.paces for each in (self._own, *answering)):
            return False
        backs = [each.paces[BACK].rate for each in answering if BACK in each.paces]
        front = self._own.paces[WHOLE].rate / _FRONT if self._front is None else self._front.rate
        pipeline = min(front, max(backs) * len(answering)) if backs else front
        frames = sum(each.paces[WHOLE].rate for each in self._good(WHOLE))
        return pipeline > _BETTER * frames and (bool(backs) or device is answering[0])

    def _probe_every(self, device: _Device, kind: str) -> float:
        if device is self._own:
            return _PROBE_OWN
        if not device.answers:
            return _PROBE_SILENT
        return _PROBE_EVERY[kind if self.share == AUTO else WHOLE]

    # -- whom to think of ----------------------------------------------------------------------

    def _good(self, kind: str) -> list[_Device]:
        """Return the devices that answer, and not so slowly that all others would wait."""
        devices = [device for device in self._measured() if kind in device.paces
                   and not (kind == BACK and device is self._own)]
        if kind == WHOLE and (self.share == PIPELINE or WHOLE not in self._own.paces):
            devices = [device for device in devices if device is self._own]
        best = min((device.paces[kind].response for device in devices), default=math.inf)
        return [device for device in devices
                if device.paces[kind].response <= _TOLERATED * best]

    def _measured(self) -> Iterator[_Device]:
        yield self._own
        yield from (device for device in self._others.values() if device.answers)

    def _next_kind(self) -> tuple[str, float]:
        """Return the next frame's kind of job, and after how long it sets out."""
        if not self._pipes():
            return WHOLE, 0.0
        assert self._front is not None
        return BACK, self._front.service

    def _own_room_at(self, now: float) -> float:
        return math.inf if self._own.jobs else now

    def _pipes(self) -> bool:
        return self._pipelined and self._front is not None and bool(self._good(BACK))

    def _choose(self) -> None:
        """Take the way of sharing that should give more frames per second."""
        frames = sum(device.paces[WHOLE].rate for device in self._good(WHOLE))
        backs = [device.paces[BACK] for device in self._good(BACK)]
        if self._front is None or not backs or WHOLE not in self._own.paces:
            self._pipelined = False
            return
        pipeline = min(self._front.rate, sum(pace.rate for pace in backs))
        own = self._own.paces[WHOLE].service
        slow = self._front.service + min(pace.response for pace in backs) > _TOLERATED * own
        if self._pipelined:
            self._pipelined = not slow and pipeline * _BETTER > frames
        else:
            self._pipelined = not slow and pipeline > frames * _BETTER

    def _give(
        self, device: _Device, number: int, kind: str, at: float, probe: bool = False,
    ) -> None:
        pace = device.paces.get(kind)
        due = at + _FIRST
        if pace is not None:
            due = _done_at(device, kind, at)
            due = at + _PATIENCE * (due - at) + _GRACE
        device.jobs[number] = _Dealt(kind, at, due, probe)


def _done_at(device: _Device, kind: str, at: float) -> float:
    """Return when a job that is dealt at ``at`` should be answered."""
    if (pace := device.paces.get(kind)) is None:
        return at
    return max(at + pace.way, device.free_at(at)) + pace.service


def _frames_of(device: _Device) -> list[int]:
    return [number for number, job in device.jobs.items() if not job.probe]
