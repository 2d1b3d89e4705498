# SPDX-License-Identifier: Apache-2.0
"""What a task is: how a labelling teaches a student, and what its output means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.teacher.protocol import Labelling

Target = TypeVar('Target')


class BadLabelling(ShadowTutorError):
    """A labelling does not fit the frame or the student's classes."""


@dataclass(frozen=True)
class Emphasis:
    """
    How much more the objects of a frame count in a lesson than the rest of it.

    ``object_weight`` is theirs, 1 is the rest's; ``box_margin`` is how far their boxes reach
    beyond them, in parts of a box's width and height.
    """

    object_weight: float = 1.0
    box_margin: float = 0.0


EVEN = Emphasis()


class Task(Protocol[Target]):
    """
    What a student does with a frame, and how it is taught that; without state.

    All but ``target`` is also recorded on GPUs, so it must not wait for one: no ``item()``, no
    ``nonzero()``, nothing of a size that depends on values.

    ``Target`` is what the task makes of a labelling, once per key frame. A student's ``output``
    is one tensor of floats as its network's back gives it, on the student's device.
    """

    def target(
        self, labelling: Labelling, size: tuple[int, int], classes: int,
        device: str | torch.device = 'cpu', emphasis: Emphasis = EVEN,
    ) -> Target:
        """
        Return what a student of ``classes`` classes should make of a frame of ``size`` (H, W).

        Raise BadLabelling when ``labelling`` is of another size or has other classes.
        """

    def refill(self, target: Target, other: Target) -> None:
        """Make ``target`` equal to ``other``, of the same size, where its tensors lie."""

    def loss(self, output: Tensor, target: Target) -> Tensor:
        """Return how wrong ``output`` is, a scalar with gradients."""

    def answer(self, output: Tensor, size: tuple[int, int]) -> Tensor:
        """Return what the student says of a frame of ``size`` (H, W), as it is handed on."""

    def class_scores(self, answer: Tensor, target: Target) -> Tensor:
        """Return how good ``answer`` is in each class, 0-1, NaN for a class that is not there."""

    def metric(self, answer: Tensor, target: Target) -> Tensor:
        """Return how good ``answer`` is, a scalar 0-1: what thresholds and strides go by."""
