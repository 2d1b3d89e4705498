# SPDX-License-Identifier: Apache-2.0
"""A device beside the robot's own that works on its frames, as whoever deals them sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shadowtutor_ros.model.network import Features
from shadowtutor_ros.model.student import Mask
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.update import StudentUpdate


@dataclass(frozen=True)
class DealtJob:
    """
    A frame for a device: the whole network's work, or its back's on what the front made.

    ``features`` are what ``network.front`` returned, else None. ``number`` grows from 1 and is
    never used twice; ``version`` are session and version of the weights that it is for.
    """

    number: int
    version: tuple[int, int]
    picture: CameraPicture
    features: Features | None = None


@dataclass(frozen=True)
class Done:
    """
    What became of a job: its HxW ``mask``, or None and why in ``error``.

    ``service_seconds`` went by at the device from taking up the job to its encoded mask,
    ``on_the_way_seconds`` is all other time from ``work`` to this answer, but for what it waited
    there for jobs before it.
    """

    number: int
    mask: Mask | None
    error: str
    service_seconds: float
    on_the_way_seconds: float


class Device(Protocol):
    """
    Does jobs with the weights that it was last taught, all in the order in which it hears of them.

    Answers go to whoever made the device, from any thread, one for each job or none: a device
    that has lost its weights, or is gone, is said to have left, and is not used any more.
    """

    name: str

    def learn(self, student: RunningStudent | StudentUpdate) -> None:
        """Take a whole student, at first, or an update of the one that it has; return at once."""

    def work(self, job: DealtJob) -> None:
        """Take a job; return at once."""

    def close(self) -> None:
        """Answer no more."""


class Sharing(Protocol):
    """Who deals frames to devices; whoever finds devices tells it of them, from any thread."""

    def join(self, device: Device) -> None:
        """Teach a new device and deal it frames."""

    def leave(self, name: str) -> None:
        """Deal a device no more frames; those that it has are dealt again, or lost."""

    def on_done(self, device: Device, done: Done) -> None:
        """Take a device's answer."""
