# SPDX-License-Identifier: Apache-2.0
"""Algorithm 4 as a state machine: which frames are key frames, and when to wait."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
import math

from shadowtutor_ros.schedule.stride import next_stride

PACED = 'paced'
LIVE = 'live'
POLICIES = (PACED, LIVE)


@dataclass(frozen=True)
class ScheduleSettings:
    """
    Strides in frames, ``threshold`` as mIoU 0-1.

    ``paced`` is the paper's policy: ``min_stride`` frames after a key frame it waits for the
    update. ``live`` never waits. ``update_delay`` > 0 takes every update exactly that many
    frames after its key frame, waiting where needed (the paper's P-1 and P-8); 0 takes it when
    it comes.
    """

    min_stride: int = 8
    max_stride: int = 64
    threshold: float = 0.9
    policy: str = LIVE
    update_delay: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.min_stride <= self.max_stride:
            raise ValueError('expected 1 <= min_stride <= max_stride, '
                             f'got {self.min_stride} and {self.max_stride}')
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f'threshold: expected a number in (0, 1), got {self.threshold}')
        if self.policy not in POLICIES:
            raise ValueError(f'policy: expected one of {POLICIES}, got {self.policy!r}')
        if self.update_delay and self.policy == LIVE:
            raise ValueError('update_delay needs the policy paced: live never waits')
        if not 0 <= self.update_delay <= self.min_stride:
            raise ValueError(f'update_delay: expected 0 to min_stride ({self.min_stride}), '
                             f'got {self.update_delay}')


class Take(Enum):
    """What to do about the outstanding update once the frame is segmented."""

    NOTHING = 'nothing'
    IF_HERE = 'if here'
    WAIT = 'wait'


class Scheduler:
    """
    Algorithm 4's variables and decisions.

    For every frame: ``on_frame()`` says whether it is a key frame; after it is segmented
    ``after_frame()`` says how to look for the update, and ``on_update(metric)`` or
    ``on_failure()`` reports what came. ``floor`` may raise the least stride in frames.
    """

    def __init__(self, settings: ScheduleSettings) -> None:
        self.settings = settings
        self._stride = float(settings.min_stride)
        self._step = settings.min_stride  # the first frame is a key frame
        self._outstanding = False
        self._failures = 0
        self.floor = settings.min_stride

    def change(self, settings: ScheduleSettings) -> None:
        """Go on by other settings; a key frame that is under way stays so."""
        self.settings = settings
        self._stride = min(max(self._stride, settings.min_stride), settings.max_stride)
        self.floor = settings.min_stride

    @property
    def stride(self) -> int:
        """Frames from one key frame to the next."""
        return max(self.wanted_stride, self.floor)

    @property
    def wanted_stride(self) -> int:
        """Frames from one key frame to the next by Algorithm 2 alone."""
        return math.ceil(self._stride)

    @property
    def outstanding(self) -> bool:
        """Say whether a key frame is still unanswered."""
        return self._outstanding

    def on_frame(self) -> bool:
        """Count one frame and return whether it is a key frame."""
        key_frame = not self._outstanding and self._step >= self._wanted_step()
        if key_frame:
            self._step = 0
            self._outstanding = True
        self._step += 1
        return key_frame

    def after_frame(self) -> Take:
        """Return how to look for the outstanding update after the frame just segmented."""
        settings = self.settings
        if not self._outstanding:
            return Take.NOTHING
        if settings.update_delay:
            return Take.WAIT if self._step >= settings.update_delay else Take.NOTHING
        if settings.policy == PACED and self._step >= settings.min_stride:
            return Take.WAIT
        return Take.IF_HERE

    def on_update(self, metric: float) -> None:
        """Take the metric (mIoU, 0-1) that came with the update as Algorithm 2's input."""
        settings = self.settings
        self._stride = next_stride(self._stride, metric, settings.threshold,
                                   settings.min_stride, settings.max_stride)
        self._outstanding = False
        self._failures = 0

    def on_failure(self, silent: bool = False) -> None:
        """
        Back off: try again with a fresh frame, later after each refusal in a row.

        A ``silent`` failure has cost its timeout already: the next try comes soon.
        """
        self._outstanding = False
        self._failures = 1 if silent else self._failures + 1
        self._step = 0

    def ask_again(self) -> None:
        """Make the next frame a key frame: the last one taught nothing, and nothing failed."""
        self._outstanding = False
        self._step = self._wanted_step()

    def _wanted_step(self) -> int:
        if not self._failures:
            return self.stride
        backoff = self.settings.min_stride << min(self._failures - 1, 16)
        return min(backoff, self.settings.max_stride)
