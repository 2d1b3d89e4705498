# SPDX-License-Identifier: Apache-2.0
"""Algorithm 1 on one key frame, as work for a device that never asks the host anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import math
from typing import Any, NamedTuple

import torch
from torch import nn, Tensor

from shadowtutor_ros.distill.state import TrainingState
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student


class Variables(NamedTuple):
    """
    Algorithm 1's variables after a look at the student, flags as 0 or 1.

    ``metric`` is that of the present weights, ``best_metric`` the highest so far, 0-1; ``loss``
    that of the last of ``steps`` steps, NaN before the first. ``live``: another step is wanted;
    ``broken``: loss or output were not finite. The rest is given.
    """

    metric: float
    best_metric: float
    loss: float
    steps: float
    live: float
    broken: float
    threshold: float
    least: float
    limit: float
    rate: float


class Algorithm1:
    """
    Algorithm 1: ``begin`` and ``read``, then ``look`` and ``step`` in turn, at last ``end``.

    A step that is not wanted any more changes nothing, and a look after it keeps nothing: a host
    may learn what they did as late as it likes. ``pixels`` is a uint8 HxWx3 frame and ``target``
    what the task makes of its labelling, both on the student's device; ``state`` has the weights
    that the student runs.
    """

    repeats = False  # whether look and step are done once and then replayed

    def __init__(
        self, student: Student, state: TrainingState, group: str, pixels: Tensor, target: Any,
    ) -> None:
        self.group, self.pixels, self.target = group, pixels, target
        self._student, self._task = student, student.task
        self._parts = state.parts(group)
        self._state, self._weights = state, state.weights(FULL)
        self._trained = {name: parameter for name, parameter in student.network.named_parameters()
                         if name in state.weights(group)}
        # In channels_last the gradient of a strided 1x1 kernel of few inputs corrupts the heap on
        # CPUs with AVX-512 (torch 2.13).
        self._layout = (torch.contiguous_format if group == FULL and student.device.type == 'cpu'
                        else torch.channels_last)
        self._best = [part.weights.clone() for part in self._parts]
        self._input: Any = None
        self._output: Tensor | None = None
        self.answer: Tensor | None = None  # to the frame, by the weights of the last look
        self._variables = torch.zeros(
            len(Variables._fields), dtype=torch.float64, device=student.device)
        (self._metric, self._best_metric, self._loss, self._steps, self._live, self._broken,
         self._threshold, self._least, self._limit, self._rate) = self._variables
        self._practice: tuple[Tensor, Any] | None = None

    def begin(self, threshold: float, least: int, limit: int, rate: float) -> None:
        """Train to ``threshold`` in ``least`` to ``limit`` steps of Adam at ``rate``."""
        self._variables.copy_(torch.tensor(Variables(
            metric=0.0, best_metric=-1.0, loss=math.nan, steps=0, live=1, broken=0,
            threshold=threshold, least=least, limit=limit, rate=rate), dtype=torch.float64))

    def read(self) -> None:
        """Make the network's input of the pixels, or what its front makes of them if frozen."""
        network = self._student.network
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in self._trained)
        self._lay_out(dict(network.named_parameters()))
        x = self._normalised(self.pixels)
        with torch.no_grad():
            self._input = network.front(x) if self.group == PARTIAL else x

    def _normalised(self, pixels: Tensor) -> Tensor:
        return self._student.normalise(pixels).contiguous(memory_format=self._layout)

    def _lay_out(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Give the network the present weights; on a CPU kernels lie as their input does."""
        if self._student.device.type != 'cpu':
            return  # they always do
        for name, parameter in parameters.items():
            weights = self._weights[name]
            parameter.data = (weights.contiguous(memory_format=self._layout)
                              if weights.dim() == 4 else weights)

    def look(self) -> None:
        """Run the student, take its metric, and keep its weights if none were better."""
        network, task, size = self._student.network, self._task, self.pixels.shape[:2]
        self._lay_out(self._trained)
        output = self._output = network.back(
            self._input if self.group == PARTIAL else network.front(self._input))
        with torch.no_grad():
            self.answer = task.answer(output.detach(), (size[0], size[1]))
            metric = task.metric(self.answer, self.target).double()
            finite, live = torch.isfinite(output).all(), self._live > 0
            # A student that is broken before the first step still has a metric.
            counts = live & (finite | (self._steps == 0))
            better = counts & (metric > self._best_metric)
            for best, part in zip(self._best, self._parts):
                _copy_where(better, part.weights, best)
            self._metric.copy_(metric)
            self._best_metric.copy_(torch.where(better, metric, self._best_metric))
            self._broken.copy_((self._broken > 0) | (live & ~finite))
            self._live.copy_(live & finite & (self._steps < self._limit) & (
                (self._best_metric < self._threshold) | (self._steps < self._least)))

    def step(self) -> None:
        """Take one distillation step from the last look on, if it is wanted."""
        assert self._output is not None
        self._learn(self._output, self.target)

    def practise(self) -> None:
        """Take one step on the practice, if one is wanted and the limit leaves it."""
        assert self._practice is not None
        pixels, target = self._practice
        network = self._student.network
        self._lay_out(self._trained)
        x = self._normalised(pixels)
        if self.group == PARTIAL:
            with torch.no_grad():
                features = network.front(x)
        else:
            features = network.front(x)
        with torch.no_grad():
            self._live.copy_((self._live > 0) & (self._steps < self._limit))
        self._learn(network.back(features), target)

    def fill_practice(self, pixels: Tensor, target: Any) -> None:
        """Practise on this from now on, a frame like the key frame's ``pixels``."""
        self._practice = pixels, target

    def _learn(self, output: Tensor, target: Any) -> None:
        loss = self._task.loss(output, target)
        gradients = dict(zip(self._trained, torch.autograd.grad(
            loss, list(self._trained.values()), retain_graph=self.repeats,
            materialize_grads=True)))
        with torch.no_grad():
            live, finite = self._live > 0, torch.isfinite(loss)
            self._broken.copy_((self._broken > 0) | (live & ~finite))
            self._live.copy_(live & finite)
            self._loss.copy_(torch.where(self._live > 0, loss, self._loss))
            self._steps += self._live
            for part in self._parts:
                part.adam_(gradients, self._rate, self._live)

    def judge(self) -> None:
        """Look at the student after the end: weights are not kept and no step can follow."""
        with torch.no_grad():
            self.look()
        self._state.give_to(self._student.network)

    def end(self) -> Variables:
        """Put the best weights in place and want no more; Adam begins anew if it was broken."""
        if not self.repeats:
            self._output = None  # and what its gradient would need
        self._live.zero_()
        for best, part in zip(self._best, self._parts):
            part.weights.copy_(best)
        self._state.give_to(self._student.network)
        return self.report()()

    def report(self) -> Callable[[], Variables]:
        """Note the variables as they are now; the function that is returned waits for them."""
        report = Variables(*self._variables.tolist())
        return lambda: report


def _copy_where(condition: Tensor, source: Tensor, target: Tensor) -> None:
    """Copy ``source`` into ``target`` if ``condition``, a scalar, is true."""
    if condition.device.type == 'cpu':
        if condition:
            target.copy_(source)
    else:
        torch.where(condition, source, target, out=target)
