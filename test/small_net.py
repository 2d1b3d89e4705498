# SPDX-License-Identifier: Apache-2.0
"""A second architecture, as small as one can be."""

import torch
from torch import nn, Tensor

from shadowtutor_ros.model.protocol import SizeLimits


class SmallNet(nn.Module):
    """One convolution before and one after the cut; ``sharp`` takes the frame's edges too."""

    BACK = ('head',)
    limits = SizeLimits()

    def __init__(self, classes: int, width: int = 4, sharp: bool = False) -> None:
        if not 1 <= width <= 64:
            raise ValueError(f'width: expected 1 to 64, got {width}')
        super().__init__()
        self.classes = classes
        self.sharp = sharp
        self.stem = nn.Conv2d(3, width, 3, 2, 1)
        self.head = nn.Conv2d(width, classes, 3, padding=1)

    def front(self, x: Tensor) -> Tensor:
        x = x / 64
        return torch.relu(self.stem(x - x.mean((2, 3), keepdim=True) if self.sharp else x))

    def back(self, features: Tensor) -> Tensor:
        return self.head(features)
