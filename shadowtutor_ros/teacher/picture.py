# SPDX-License-Identifier: Apache-2.0
"""A frame as teachers see it."""

from __future__ import annotations

from torch import Tensor


def rgb(picture: Tensor) -> Tensor:
    """Return a BGR uint8 HxWx3 picture as 3xHxW RGB, 0-1, where it is."""
    return picture.flip(2).permute(2, 0, 1).float() / 255
