# SPDX-License-Identifier: Apache-2.0
"""
The paper's network and loops, written down plainly: what the product's speed is compared with.

NCHW, fp32, every layer where Fig. 3 has it, the whole forward pass in every distillation step,
one pass per class for the metric. Nothing here is used by the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
import copy
import math

import numpy as np
from numpy.typing import NDArray
import torch
from torch import nn, Tensor
import torch.nn.functional as F

FRONT = ('in_conv1', 'in_conv2', 'sb1', 'sb2', 'sb3', 'sb4')


class ReferenceBlock(nn.Module):
    """Fig. 3a."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.pre = nn.Sequential(nn.BatchNorm2d(inputs, track_running_stats=False), nn.ReLU())
        self.long = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU(),
            nn.Conv2d(outputs, outputs, (1, 3), padding=(0, 1)),
            nn.Conv2d(outputs, outputs, (3, 1), padding=(1, 0)))
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        pre = self.pre(x)
        shortcut = x[..., ::self.stride, ::self.stride] if self.short is None else self.short(pre)
        return self.long(pre) + shortcut


class ReferenceNet(nn.Module):
    """Fig. 3b; parameters have the names of the product's network."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.in_conv1 = nn.Conv2d(3, 8, 3, 2, 1)
        self.in_conv2 = nn.Conv2d(8, 8, 3, 2, 1)
        self.sb1 = ReferenceBlock(8, 64, 2)
        self.sb2 = ReferenceBlock(64, 64, 2)
        self.sb3 = ReferenceBlock(64, 128, 2)
        self.sb4 = ReferenceBlock(128, 64)
        self.sb5 = ReferenceBlock(128, 32)
        self.sb6 = ReferenceBlock(96, 32)
        self.out_conv1 = nn.Conv2d(32, 32, 3, padding=1)
        self.out_conv2 = nn.Conv2d(32, 32, 3, padding=1)
        self.out_conv3 = nn.Conv2d(32, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.in_conv1(x)
        sb1 = self.sb1(self.in_conv2(stem))
        sb2 = self.sb2(sb1)
        sb4 = self.sb4(self.sb3(sb2))
        sb5 = self.sb5(torch.cat((_upsample(sb4, sb2), sb2), 1))
        sb6 = self.sb6(torch.cat((_upsample(sb5, sb1), sb1), 1))
        head = self.out_conv2(self.out_conv1(_upsample(sb6, stem)))
        return self.out_conv3(_upsample(head, x))


def _upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode='bilinear', align_corners=False)


class Reference:
    """A student as one would write it down first; ``mean`` and ``std`` per channel B, G, R."""

    def __init__(
        self, weights: Mapping[str, Tensor], mean: tuple[float, ...], std: tuple[float, ...],
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self.classes = weights['out_conv3.bias'].numel()
        self.network = ReferenceNet(self.classes)
        self.network.load_state_dict(dict(weights))
        self.network.to(memory_format=layout)
        self._layout = layout
        self._mean = torch.tensor(mean).view(1, 3, 1, 1)
        self._std = torch.tensor(std).view(1, 3, 1, 1)

    def prepare(self, frame: NDArray[np.uint8]) -> Tensor:
        """Return the normalised 1x3xHxW tensor of a BGR frame."""
        pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float()
        return ((pixels - self._mean) / self._std).contiguous(memory_format=self._layout)

    @torch.no_grad()
    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the HxW class ids."""
        return self.network(self.prepare(frame))[0].argmax(0).to(torch.uint8).numpy()

    def distill(
        self, frame: NDArray[np.uint8], label: NDArray[np.uint8], weights: Tensor,
        threshold: float, max_updates: int, learning_rate: float = 0.005,
        on_step: Callable[[int, float, float], None] = lambda step, metric, loss: None,
    ) -> tuple[float, int]:
        """
        Run Algorithm 1 with partial distillation; return the best metric (0-1) and the steps.

        ``weights`` is HxW, a pixel's weight in the loss. ``on_step(step, metric, loss)`` is told
        of every step as the product's is. The best weights stay.
        """
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.split('.', 1)[0] not in FRONT)
        optimizer = torch.optim.Adam(
            [p for p in self.network.parameters() if p.requires_grad], lr=learning_rate)
        x = self.prepare(frame)
        target = torch.from_numpy(label).long()[None]
        logits = self.network(x)
        best, best_metric = copy.deepcopy(self.network.state_dict()), self._metric(logits, label)
        steps = 0
        on_step(0, best_metric, math.nan)
        while best_metric < threshold and steps < max_updates:
            loss = (F.cross_entropy(logits, target, reduction='none') * weights).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            logits = self.network(x)
            metric = self._metric(logits, label)
            if metric > best_metric:
                best, best_metric = copy.deepcopy(self.network.state_dict()), metric
            on_step(steps, metric, float(loss.detach()))
        self.network.load_state_dict(best)
        return best_metric, steps

    def _metric(self, logits: Tensor, label: NDArray[np.uint8]) -> float:
        prediction = logits[0].argmax(0).numpy()
        ious = []
        for index in range(self.classes):
            predicted, labelled = prediction == index, label == index
            if (union := (predicted | labelled).sum()):
                ious.append((predicted & labelled).sum() / union)
        return float(np.mean(ious))
