# SPDX-License-Identifier: Apache-2.0
"""The student for detection: the paper's network up to SB6, then a block and a layer for boxes."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn, Tensor

from shadowtutor_ros.model.network import Features, StudentBlock, Trunk

_SIDES = 4
_RARE = -4.6  # the logit of a centre anywhere, before anything is learnt: they are rare
_USUAL = 1.0  # the logarithm of how far a side is, in cells


class BoxNet(Trunk):
    """
    Fully convolutional student whose output is Nx(C+4)xhxw, a cell for every 8 x 8 pixels.

    C is without background: logits of centres, then logarithms of the way to the four sides.
    """

    BACK: ClassVar[tuple[str, ...]] = ('sb5', 'sb6', 'sb7', 'out_conv')

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.sb7 = StudentBlock(32, 64)
        self.out_conv = nn.Conv2d(64, classes - 1 + _SIDES, 1)
        self.initialise()
        nn.init.normal_(self.out_conv.weight, std=0.01)
        assert self.out_conv.bias is not None
        with torch.no_grad():
            self.out_conv.bias[:-_SIDES] = _RARE
            self.out_conv.bias[-_SIDES:] = _USUAL

    def back(self, features: Features) -> Tensor:
        """Return the output of SB5, SB6, SB7 and out_conv; this part is trained."""
        out: Tensor = self.out_conv(torch.relu(self.sb7(self.merged(features))))
        return out
