# SPDX-License-Identifier: Apache-2.0
"""How a student is trained: the paper's constants and the product's defaults."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Any

from shadowtutor_ros.model.groups import FULL, GROUPS, PARTIAL
from shadowtutor_ros.tasks.protocol import Emphasis

NONE = 'none'
PLAIN = 'plain'
AUGMENTED = 'augmented'
PRACTICES = (NONE, PLAIN, AUGMENTED)


@dataclass(frozen=True)
class DistillSettings:
    """
    Algorithm 1's constants.

    ``threshold`` is the metric, 0-1, that is good enough; ``max_updates`` bounds the steps on one
    key frame; ``group`` is trained. Until the metric first reaches the threshold, but at most for
    ``cold_start_key_frames`` (0: no limit), a stream is *cold*: it is then trained in
    ``cold_start_group`` for up to ``cold_start_updates`` steps.

    ``min_updates`` steps are taken even by a student that is good enough. With a ``practice``
    every step on the key frame is followed by one on it or on one of the last ``replay`` key
    frames: ``plain`` as they are, ``augmented`` flipped, shifted and scaled.
    """

    threshold: float = 0.95
    max_updates: int = 16
    learning_rate: float = 0.005
    group: str = FULL
    cold_start_updates: int = 64
    cold_start_group: str = FULL
    cold_start_key_frames: int = 4
    object_weight: float = 5.0
    box_margin: float = 0.075
    min_updates: int = 8
    practice: str = AUGMENTED
    replay: int = 8

    def __post_init__(self) -> None:
        for name, choices in (('group', GROUPS), ('cold_start_group', GROUPS),
                              ('practice', PRACTICES)):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f'{name}: expected one of {choices}, got {getattr(self, name)!r}')
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f'threshold: expected a number in (0, 1), got {self.threshold}')
        for name in ('max_updates', 'cold_start_updates', 'cold_start_key_frames',
                     'min_updates', 'replay'):
            if getattr(self, name) < 0:
                raise ValueError(f'{name}: expected 0 or more, got {getattr(self, name)}')
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f'learning_rate: expected more than 0, got {self.learning_rate}')
        if not (math.isfinite(self.object_weight) and self.object_weight > 0):
            raise ValueError(f'object_weight: expected more than 0, got {self.object_weight}')
        if not (math.isfinite(self.box_margin) and self.box_margin >= 0):
            raise ValueError(f'box_margin: expected 0 or more, got {self.box_margin}')

    @property
    def emphasis(self) -> Emphasis:
        """How much more objects count than the rest of a frame."""
        return Emphasis(self.object_weight, self.box_margin)

    @classmethod
    def plain(cls, **changes: Any) -> DistillSettings:
        """Return settings whose lessons are about the newest key frame and the back alone."""
        return cls(**{'threshold': 0.8, 'group': PARTIAL, 'min_updates': 0, 'practice': NONE,
                      'replay': 0, **changes})

    @classmethod
    def paper(cls, group: str = PARTIAL) -> DistillSettings:
        """Return the constants of sections 5.2 and 5.3, ``full`` for the F settings."""
        return cls.plain(
            max_updates=8, learning_rate=0.01, group=group, cold_start_updates=8,
            cold_start_group=group, cold_start_key_frames=0)
