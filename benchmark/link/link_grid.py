# SPDX-License-Identifier: Apache-2.0
"""Which runs there are: what is asked of the link in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import itertools

LOSS, BURST, OUTAGE, MIOU = 'loss', 'burst', 'outage', 'miou'
KINDS = (LOSS, BURST, OUTAGE, MIOU)
BURST_LENGTH = 20
OUTAGE_SECONDS = 10.0
QUICK_PROFILES = ('none', 'fastdds')

_LOSSES = (0.0, 1.0, 5.0, 10.0, 20.0)
_RATES = (None, 40.0, 8.0, 2.0)
_QUEUE_SECONDS = 0.1
_LEAST_QUEUE = 64_000


@dataclass(frozen=True)
class Ask:
    """
    One run: ``loss`` in percent, ``rate`` in 10^6 bit/s (None: no limit), each way.

    It ends after ``key_frames`` or ``seconds``, whichever comes first. A run of kind MIOU ends
    with the video. ``queue_bytes`` wait before a slow link; None: as in a router, 100 ms of its
    rate but at least 64 KB.
    """

    kind: str
    loss: float
    rate: float | None
    profile: str
    key_frames: int
    seconds: float
    queue_bytes: int | None = None

    @property
    def queue(self) -> int | None:
        """Bytes that wait before the link at most, None before one without a limit."""
        if self.rate is None:
            return None
        if self.queue_bytes is not None:
            return self.queue_bytes
        return max(_LEAST_QUEUE, round(self.rate * 1e6 / 8 * _QUEUE_SECONDS))


def quick(profiles: Sequence[str]) -> list[Ask]:
    """Return a few runs: ``profiles`` side by side, and the last through bursts and an outage."""
    return [*(Ask(LOSS, loss, rate, profile, 20, 30)
              for loss, rate in ((0, None), (5, None), (5, 8)) for profile in profiles),
            Ask(BURST, 5, None, profiles[-1], 20, 30), Ask(OUTAGE, 0, None, profiles[-1], 0, 45)]


def full(profiles: Sequence[str]) -> list[Ask]:
    """Return every loss at every rate with every profile, bursts, outages and mIoU: hours."""
    asks = [Ask(LOSS, loss, rate, profile, enough(loss), 400)
            for profile, loss, rate in itertools.product(profiles, _LOSSES, _RATES)]
    for profile in profiles:
        asks += [Ask(BURST, 5, rate, profile, enough(5), 400) for rate in (None, 8.0)]
        asks += [Ask(OUTAGE, loss, 8.0, profile, 0, 60) for loss in (0, 5)]
        asks += [Ask(MIOU, loss, rate, profile, 0, 600) for loss, rate in ((0, None), (5, 2.0))]
    return asks


def enough(loss: float) -> int:
    """Return how many key frames tell something about this loss in percent."""
    return {5.0: 200, 10.0: 100, 20.0: 100}.get(loss, 50)
