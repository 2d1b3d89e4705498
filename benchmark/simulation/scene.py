# SPDX-License-Identifier: Apache-2.0
"""
What a robot sees, as far as a schedule cares: how good its weights are, and what a lesson does.

A model, not a measurement: weights lose mIoU with their age, a cut makes them nearly useless, and
every distillation step takes a part of what is still to be learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
import random

DRIFT = 0.08  # mIoU that weights lose in a second
CUT_EVERY = 20.0  # seconds on average
GAIN = 0.08  # of what is still to be learnt, with each step
THRESHOLD = 0.8  # that ends a lesson


@dataclass(frozen=True)
class View:
    """A key frame: mIoU of the robot's weights on it, and what endless training would reach."""

    initial: float
    best: float

    def lesson(self, allowed: int) -> tuple[int, float]:
        """Return steps and mIoU of Algorithm 1 with at most ``allowed`` steps."""
        metric, steps = self.initial, 0
        while metric < THRESHOLD and steps < allowed:
            metric += GAIN * (self.best - metric)
            steps += 1
        return steps, metric


class Scene:
    """One robot's surroundings; times in seconds."""

    def __init__(self, rng: random.Random, now: float) -> None:
        self._rng = rng
        self._metric = 0.1  # of a first student that nobody has taught
        self._learnt_on = now
        self._last_cut = now
        self._next_cut = now + rng.expovariate(1 / CUT_EVERY)

    def view(self, now: float) -> View:
        """Return the key frame of ``now``."""
        while self._next_cut <= now:
            self._last_cut = self._next_cut
            self._next_cut += self._rng.expovariate(1 / CUT_EVERY)
        if self._last_cut > self._learnt_on:
            initial = self._rng.uniform(0.1, 0.4)
        else:
            drift = DRIFT * self._rng.uniform(0.0, 2.0)
            initial = max(0.1, self._metric - drift * (now - self._learnt_on))
        return View(initial, self._rng.uniform(0.85, 0.95))

    def learn(self, taken: float, metric: float) -> None:
        """Take over weights that were taught on the key frame of the time ``taken``."""
        self._learnt_on, self._metric = taken, metric
