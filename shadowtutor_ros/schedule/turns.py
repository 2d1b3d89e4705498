# SPDX-License-Identifier: Apache-2.0
"""Whose key frame a tutor teaches next, and which streams it takes at all: no clock, no thread."""

from __future__ import annotations

from dataclasses import dataclass
import math
from typing import Generic, NamedTuple, TypeVar

from shadowtutor_ros.errors import ShadowTutorError

MAX_STREAM_ID = 128  # bytes of UTF-8, as messages count them
OWNER_SILENCE = 10.0  # seconds after which another robot may have a stream
PROBATION = 60.0  # seconds in which a stream that asks for a place must have learnt something

T = TypeVar('T')


class Refused(ShadowTutorError):
    """A key frame or a robot that is not taken."""


class BadStreamId(Refused):
    """A stream id is empty or too long."""


class TooManyStreams(Refused):
    """Every place is taken by a stream that was active lately."""


class StreamTaken(Refused):
    """The stream id belongs to another robot that was heard lately."""


class Superseded(Refused):
    """A newer key frame of the same stream came before this one had its turn."""


class Admission(NamedTuple):
    """Who lost its place to a stream, and whether the stream went from one robot to another."""

    loser: str | None = None
    changed_hands: bool = False


@dataclass
class _Place(Generic[T]):
    """
    A stream's place.

    ``learnt_on`` is when the key frame of its last turn arrived, ``arrived`` when the one that
    waits did, ``since`` its place in the queue. ``taught``: a turn of it was good for something.
    """

    robot: int
    opened: float
    heard: float
    taught: bool = False
    learnt_on: float = -math.inf
    arrived: float = -math.inf
    since: int = 0
    waiting: T | None = None
    busy: bool = False


class Turns(Generic[T]):
    """
    At most ``max_streams`` places, each with at most one key frame that waits, the newest.

    Next is the stream with the oldest weights: whose last turn was for the key frame that came
    first, or that had no turn yet. It is the turn that counts and not its success: else a stream
    whose lessons fail would always be next. A stream belongs to the robot that it was first asked
    for by, until that is silent for OWNER_SILENCE; it may lose its place to a new stream after
    ``idle_timeout``, but not while it waits or is taught. One that was never taught anything may
    lose it ``PROBATION`` after it got it, however often it was heard. ``now`` is in seconds of one
    clock.
    """

    def __init__(self, max_streams: int, idle_timeout: float) -> None:
        self.max_streams = max_streams
        self._idle_timeout = idle_timeout
        self._places: dict[str, _Place[T]] = {}
        self._arrivals = 0

    @property
    def streams(self) -> tuple[str, ...]:
        """Ids of the streams that have a place."""
        return tuple(self._places)

    @property
    def waiting(self) -> int:
        """How many key frames wait."""
        return sum(place.waiting is not None for place in self._places.values())

    def idle(self, stream_id: str, now: float) -> float:
        """Return the seconds since a stream with a place was heard."""
        return now - self._places[stream_id].heard

    def admit(self, stream_id: str, robot: int, now: float) -> Admission:
        """
        Give the stream a place if it has none, which another may lose for it.

        Raise BadStreamId, StreamTaken or TooManyStreams, with nothing changed.
        """
        if not 1 <= (size := len(stream_id.encode())) <= MAX_STREAM_ID:
            raise BadStreamId(f'stream id: expected 1 to {MAX_STREAM_ID} bytes, got {size}')
        place = self._places.get(stream_id)
        if place is not None:
            if place.robot != robot and (
                    place.busy or place.waiting is not None or now < place.heard + OWNER_SILENCE):
                raise StreamTaken(
                    f'stream id {stream_id!r} belongs to another robot, heard '
                    f'{now - place.heard:.1f} s ago: give each robot a stream_id of its own')
            changed_hands = place.robot != robot
            place.robot, place.heard = robot, now
            return Admission(changed_hands=changed_hands)
        loser = self._room(now)
        if loser is not None:
            del self._places[loser]
        self._places[stream_id] = _Place(robot, now, now)
        return Admission(loser)

    def put(self, stream_id: str, item: T, now: float) -> T | None:
        """
        Let ``item``, which has just come, wait for a turn of its stream.

        Return the one whose place it takes.
        """
        place = self._places[stream_id]
        superseded, place.waiting = place.waiting, item
        place.arrived = now
        if superseded is None:
            self._arrivals += 1
            place.since = self._arrivals
        return superseded

    def take(self) -> tuple[str, T] | None:
        """Begin the next turn: return its stream and item, None if nobody can have one."""
        ready = [(place.learnt_on, place.since, stream_id, place.waiting)
                 for stream_id, place in self._places.items()
                 if place.waiting is not None and not place.busy]
        if not ready:
            return None
        _, _, stream_id, item = min(ready, key=lambda entry: entry[:2])
        place = self._places[stream_id]
        place.learnt_on, place.waiting, place.busy = place.arrived, None, True
        return stream_id, item

    def done(self, stream_id: str, now: float, taught: bool = True) -> None:
        """End the turn of a stream; ``taught`` says whether it was good for something."""
        place = self._places[stream_id]
        place.busy, place.heard = False, now
        place.taught |= taught

    def _room(self, now: float) -> str | None:
        """Return who must go for a new stream, None if nobody; raise TooManyStreams."""
        if len(self._places) < self.max_streams:
            return None
        idle = [(place.taught, place.heard, stream_id)
                for stream_id, place in self._places.items()
                if not place.busy and place.waiting is None
                and (now >= place.heard + self._idle_timeout
                     or (not place.taught and now >= place.opened + PROBATION))]
        if not idle:
            raise TooManyStreams(f'all {self.max_streams} streams were active in the last '
                                 f'{self._idle_timeout:g} s')
        return min(idle)[2]
