# SPDX-License-Identifier: Apache-2.0
"""What a student's network is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import nn, Tensor


@dataclass(frozen=True)
class SizeLimits:
    """Which frames a network takes: H and W of ``least`` or more, multiples of ``multiple``."""

    least: int = 1
    multiple: int = 1

    def allow(self, height: int, width: int) -> bool:
        """Say whether a frame of ``height`` x ``width`` pixels can be taken."""
        return (min(height, width) >= self.least
                and height % self.multiple == width % self.multiple == 0)


class Network(Protocol):
    """
    A ``torch.nn.Module`` in two parts, of which a lesson trains the second or both.

    ``BACK`` names the children whose parameters ``back`` uses: the group ``partial``. Only
    parameters travel, so nothing else may change by training: no running averages.
    """

    BACK: ClassVar[tuple[str, ...]]
    limits: SizeLimits
    classes: int

    def front(self, x: Tensor) -> Any:
        """Return the features of a normalised Nx3xHxW float frame that ``back`` needs."""

    def back(self, features: Any) -> Tensor:
        """Return the output that the student's task expects."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """As torch.nn.Module does."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """As torch.nn.Module does."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """As torch.nn.Module does."""
