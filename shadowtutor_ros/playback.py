# SPDX-License-Identifier: Apache-2.0
"""Which frame of a source is next, and when: looping, pausing, stepping and seeking."""

from __future__ import annotations

import math

from shadowtutor_ros.errors import ShadowTutorError


class PlaybackError(ShadowTutorError):
    """A replay cannot do what it is asked for."""


class Playback:
    """
    Plays ``count`` frames (None: nobody knows) at ``fps`` from the first one on.

    The owner reads the frame at ``place`` when ``wake_at`` has come. If the playback still
    ``wants`` it then, the owner calls ``published``, or ``end`` when there is none. With a
    ``mask_timeout`` in seconds a frame waits for ``answered`` instead of the clock. It ends
    after ``frames`` frames (0: never), counted through all rounds of a ``loop``. All times are
    seconds of one monotonic clock.
    """

    def __init__(
        self, fps: float, count: int | None, now: float, *,
        frames: int = 0, loop: bool = False, mask_timeout: float | None = None,
    ) -> None:
        self.place = 0  # in the source, of the next frame
        self.ended = False
        self._fps = fps
        self._count = count
        self._frames = frames
        self._loop = loop
        self._mask_timeout = mask_timeout
        self._paused = False
        self._steps = 0  # frames that may go although it is paused
        self._round_start = 0  # frames of all rounds before this one
        self._due = now  # of the next frame, or of the mask that is awaited
        self._awaits_mask = False

    @property
    def frame(self) -> int:
        """The number of the next frame since the first round began."""
        return self._round_start + self.place

    @property
    def stamp(self) -> int:
        """Media time of the next frame in nanoseconds; it grows through all rounds."""
        return round(self.frame * 1e9 / self._fps)

    @property
    def wake_at(self) -> float:
        """When the next frame, or the mask that is awaited, is due; inf: not by itself."""
        plays = not self.ended and (not self._paused or self._steps > 0)
        return self._due if plays or self._awaits_mask else math.inf

    def wants(self, place: int, now: float) -> bool:
        """Say whether the frame at ``place`` is to go now; reading it may have taken a while."""
        return place == self.place and self.wake_at <= now

    def published(self, now: float) -> None:
        """Take note that the frame at ``place`` is out."""
        self.place += 1
        self._steps = max(0, self._steps - 1)
        self.ended = self.frame == self._frames
        if self._mask_timeout is None:
            period = 1 / self._fps
            self._due = max(self._due + period, now - period)
        else:
            self._due = now + self._mask_timeout
            self._awaits_mask = True

    def answered(self, now: float) -> None:
        """Take note that the mask of the last frame has come."""
        if self._awaits_mask:
            self._awaits_mask = False
            self._due = now

    def give_up(self, now: float) -> bool:
        """Await a mask that is late no longer; return whether it is late."""
        late = self._awaits_mask and now >= self._due
        if late:
            self._awaits_mask = False
        return late

    def end(self) -> None:
        """Begin the next round, or end: the source has no frame at ``place``."""
        if self._loop and self.place:
            self._round_start += self.place
            self.place = 0
        else:
            self.ended = True

    def pause(self, paused: bool, now: float) -> None:
        """Hold, or go on; steps that are not done yet are dropped."""
        self._paused = paused
        self._wake(0, now)

    def step(self, frames: int, now: float) -> None:
        """
        Let the next ``frames`` frames (0 counts as 1) go, at their usual pace.

        Raise PlaybackError when it is not paused or at its end.
        """
        if not self._paused:
            raise PlaybackError('step: expected a replay that is paused, got one that is not')
        if self.ended or (self.place == self._count and not self._loop):
            raise PlaybackError('step: expected a frame to come, got the end; seek goes back')
        self._wake(self._steps + max(1, frames), now)

    def seek(self, seconds: float, now: float) -> None:
        """
        Go to the frame nearest to ``seconds`` from the source's beginning, at ``fps``.

        It stays paused if it is, and plays on if it has ended. Raise PlaybackError for a place
        that is not in the source, and for a source of unknown length, as a camera is.
        """
        if self._count is None:
            raise PlaybackError('seek: expected a source of known length, got a camera or a '
                                'video without one')
        length = self._count
        if self._frames:
            length = min(length, self._frames - self._round_start)
        place = seconds * self._fps
        if not 0 <= place < length - 0.5:
            raise PlaybackError(
                f'seek: expected 0 to {(length - 1) / self._fps:.3f} s, the last of {length} '
                f'frames at {self._fps:g} fps, got {seconds:g} s')
        self.place = round(place)
        self.ended = False
        self._wake(0, now)

    def _wake(self, steps: int, now: float) -> None:
        """Set the steps; what was due during the rest is not caught up."""
        self._steps = steps
        self._due = max(self._due, now)
