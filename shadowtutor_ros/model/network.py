# SPDX-License-Identifier: Apache-2.0
"""The student network of the paper (section 5.2, Fig. 3): 483,873 parameters with 9 classes."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import nn, Tensor

from shadowtutor_ros.model.head import folded_head, folds, last_layers
from shadowtutor_ros.model.protocol import SizeLimits
from shadowtutor_ros.tasks.segmentation.upsample import upsample


class FrameNorm(nn.BatchNorm2d):
    """
    BatchNorm by the current frame's statistics alone: a student must not average over scenes.

    A map of a single pixel is its own mean and normalises to zero, which torch refuses to do.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[0] * x.shape[2] * x.shape[3] == 1:
            scale, shift = self.weight.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
            return torch.zeros_like(x) * scale + shift
        return super().forward(x)


class StudentBlock(nn.Module):
    """
    Residual block of Fig. 3a: a 3x3, 1x3, 3x1 path beside a shortcut, both after BN and ReLU.

    The shortcut is a 1x1 convolution where the channels change and the input itself otherwise.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.pre = nn.Sequential(FrameNorm(inputs), nn.ReLU())
        self.long = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, (1, 3), padding=(0, 1)),
            nn.Conv2d(outputs, outputs, (3, 1), padding=(1, 0)))
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        pre = self.pre(x)
        shortcut = x[..., ::self.stride, ::self.stride] if self.short is None else self.short(pre)
        out: Tensor = self.long(pre) + shortcut
        return out


class Features(NamedTuple):
    """What the frozen front hands to the back: SB4's output and the three skip inputs."""

    sb4: Tensor
    sb2: Tensor
    sb1: Tensor
    stem_size: tuple[int, int]


class Trunk(nn.Module):
    """
    What students of all tasks begin with: ``front`` (in_conv1 to SB4), then SB5 and SB6.

    Input is a normalised Nx3xHxW float tensor, for any H, W >= 1.
    """

    limits = SizeLimits()

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.in_conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.in_conv2 = nn.Conv2d(8, 8, 3, 2, 1)
        self.sb1 = StudentBlock(8, 64, 2)
        self.sb2 = StudentBlock(64, 64, 2)
        self.sb3 = StudentBlock(64, 128, 2)
        self.sb4 = StudentBlock(128, 64)
        self.sb5 = StudentBlock(128, 32)
        self.sb6 = StudentBlock(96, 32)

    def front(self, x: Tensor) -> Features:
        """Return the part of the network that partial distillation leaves frozen."""
        stem = self.in_conv1(x)
        sb1 = self.sb1(self.in_conv2(stem))
        sb2 = self.sb2(sb1)
        sb4 = self.sb4(self.sb3(sb2))
        return Features(sb4, sb2, sb1, (stem.shape[-2], stem.shape[-1]))

    @staticmethod
    def feature_shapes(height: int, width: int) -> tuple[tuple[int, int, int], ...]:
        """Return CxHxW of ``front``'s three maps for a frame: SB4's, SB2's and SB1's."""
        def halved(times: int) -> tuple[int, int, int]:
            return 64, -(-height >> times), -(-width >> times)

        return halved(5), halved(4), halved(3)

    def merged(self, features: Features) -> Tensor:
        """Return SB6's output, Nx32xhxw, an eighth of the image's size."""
        x = upsample(features.sb4, features.sb2.shape[-2:])
        x = self.sb5(torch.cat((x, features.sb2), 1))
        x = upsample(x, features.sb1.shape[-2:])
        out: Tensor = self.sb6(torch.cat((x, features.sb1), 1))
        return out

    def initialise(self) -> None:
        """Give all convolutions Kaiming's weights and biases of zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


class StudentNet(Trunk):
    """
    Fully convolutional student, ``front`` (in_conv1 to SB4) and ``back`` (SB5 to out_conv3).

    Output are NxCxHxW logits.
    """

    BACK: ClassVar[tuple[str, ...]] = ('sb5', 'sb6', 'out_conv1', 'out_conv2', 'out_conv3')

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.out_conv1 = nn.Conv2d(32, 32, 3, padding=1)
        self.out_conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.out_conv3 = nn.Conv2d(32, classes, 1)
        self.initialise()

    def back(self, features: Features) -> Tensor:
        """
        Return NxCxhxw logits of ``features.stem_size``, half the image's; this part is trained.

        The last step of the network is to upsample them to the image's size: out_conv3 is a 1x1
        convolution, which commutes with bilinear upsampling, whose weights sum to one.
        """
        x = self.merged(features)
        # On a GPU the gradients of the many small parts of a folded head take longer than its
        # layers do.
        layers = x.is_cuda and torch.is_grad_enabled()
        if not layers and folds(x.shape, features.stem_size, self.classes):
            return folded_head(x, self.out_conv1, self.out_conv2, self.out_conv3)
        x = self.out_conv1(upsample(x, features.stem_size))
        return last_layers(x, self.out_conv2, self.out_conv3)

    def forward(self, x: Tensor) -> Tensor:
        return upsample(self.back(self.front(x)), (x.shape[-2], x.shape[-1]))
