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
    """
    A student as one would write it down first, on one device.

    ``mean`` and ``std`` are per channel B, G, R.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], mean: tuple[float, ...], std: tuple[float, ...],
        layout: torch.memory_format = torch.contiguous_format,
        device: str | torch.device = 'cpu',
    ) -> None:
        self.classes = weights['out_conv3.bias'].numel()
        self.network = ReferenceNet(self.classes)
        self.network.load_state_dict(dict(weights))
        self.network.to(device, memory_format=layout)
        self.device = torch.device(device)
        self._layout = layout
        self._mean = torch.tensor(mean, device=device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=device).view(1, 3, 1, 1)

    def prepare(self, frame: NDArray[np.uint8]) -> Tensor:
        """Return the normalised 1x3xHxW tensor of a BGR frame."""
        pixels = torch.from_numpy(frame).to(self.device).permute(2, 0, 1)[None].float()
        return ((pixels - self._mean) / self._std).contiguous(memory_format=self._layout)

    @torch.no_grad()
    def segment(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the HxW class ids."""
        return self.network(self.prepare(frame))[0].argmax(0).to(torch.uint8).cpu().numpy()

    def distill(
        self, frame: NDArray[np.uint8], label: NDArray[np.uint8], weights: Tensor,
        threshold: float, max_updates: int, learning_rate: float = 0.005,
        on_step: Callable[[int, float, float], None] = lambda step, metric, loss: None,
        full: bool = False,
    ) -> tuple[float, int]:
        """
        Run Algorithm 1; return the best metric (0-1) and the steps.

        Distillation is partial, or of all layers with ``full``. ``weights`` is HxW, a pixel's
        weight in the loss. ``on_step(step, metric, loss)`` is told of every step as the
        product's is. The best weights stay.
        """
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(full or name.split('.', 1)[0] not in FRONT)
        optimizer = torch.optim.Adam(
            [p for p in self.network.parameters() if p.requires_grad], lr=learning_rate)
        x = self.prepare(frame)
        judged_by = torch.from_numpy(label).to(self.device)
        target, weights = judged_by.long()[None], weights.to(self.device)
        logits = self.network(x)
        best = copy.deepcopy(self.network.state_dict())
        best_metric = self._metric(logits, judged_by)
        steps = 0
        on_step(0, best_metric, math.nan)
        while best_metric < threshold and steps < max_updates:
            loss = (F.cross_entropy(logits, target, reduction='none') * weights).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            logits = self.network(x)
            metric = self._metric(logits, judged_by)
            if metric > best_metric:
                best, best_metric = copy.deepcopy(self.network.state_dict()), metric
            on_step(steps, metric, float(loss.detach()))
        self.network.load_state_dict(best)
        return best_metric, steps

    def _metric(self, logits: Tensor, label_map: Tensor) -> float:
        # With an array on a CPU and a tensor elsewhere, whichever is faster.
        host = self.device.type == 'cpu'
        prediction, label = (x.numpy() if host else x for x in (logits[0].argmax(0), label_map))
        ious = []
        for index in range(self.classes):
            predicted, labelled = prediction == index, label == index
            union = (predicted | labelled).sum()
            if not host or union:  # where it is 0, a tensor's IoU is NaN
                ious.append((predicted & labelled).sum() / union)
        return float(np.mean(ious) if host else torch.stack(ious).nanmean())
