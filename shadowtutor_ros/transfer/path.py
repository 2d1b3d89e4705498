# SPDX-License-Identifier: Apache-2.0
"""What one direction of a link is like, learnt over all its transfers."""

from __future__ import annotations

from shadowtutor_ros.transfer.pieces import LARGE_PIECE_BYTES, PIECE_BYTES

INITIAL_TIMEOUT = 0.2  # seconds, until the first round trip
MIN_TIMEOUT = 0.02
MAX_TIMEOUT = 1.0  # a queue that outlives an outage looks like a round trip as long as it
_GRANULARITY = 0.01  # seconds by which a process may be late: G of RFC 6298
_CLEAN = 256 << 10  # bytes without a repeat, after which pieces may be large for the first time
_MEMORY = 512 << 10  # bytes over which the goodput is a mean: about ten payloads of 40 pieces


class PathEstimate:
    """
    Round trip, goodput and counts of pieces of one link; shared by its senders.

    ``srtt`` and ``rttvar`` are RFC 6298's, in seconds; None until the first answer. ``sent``
    counts pieces with repeats, ``repeated`` the repeats among them.

    A large piece travels in several packets, each of which must arrive. So pieces are large only
    after many that were not repeated; with every return to small ones it takes twice as many.
    """

    def __init__(self) -> None:
        self.srtt: float | None = None
        self.rttvar: float | None = None
        self.sent = 0
        self.repeated = 0
        self._clean, self._clean_enough = 0, _CLEAN  # bytes
        self._acknowledged = 0.0  # bytes; both are halved when they have grown
        self._busy = 0.0  # the seconds that they took

    @property
    def timeout(self) -> float:
        """Seconds of silence after which something is probably lost."""
        if self.srtt is None or self.rttvar is None:
            return INITIAL_TIMEOUT
        timeout = self.srtt + max(_GRANULARITY, 4 * self.rttvar)
        return min(max(MIN_TIMEOUT, timeout), MAX_TIMEOUT)

    @property
    def goodput(self) -> float:
        """
        Payload bytes per second that the last transfers had from start to end; 0.0: unknown.

        Round trips and repairs count as time. For short payloads that is less than the link's
        rate, but it does not jump when several reports come at once.
        """
        return self._acknowledged / self._busy if self._busy else 0.0

    @property
    def piece_bytes(self) -> int:
        """How long the pieces of the next payload are."""
        return PIECE_BYTES if self._clean < self._clean_enough else LARGE_PIECE_BYTES

    def on_round_trip(self, seconds: float) -> None:
        """Take the time between a sending and its answer."""
        if self.srtt is None or self.rttvar is None:
            self.srtt, self.rttvar = seconds, seconds / 2
        else:
            self.rttvar += (abs(self.srtt - seconds) - self.rttvar) / 4
            self.srtt += (seconds - self.srtt) / 8

    def on_sent(self, pieces: int, repeated: int) -> None:
        """Count pieces put on the network, and how many of them were not the first try."""
        self.sent += pieces
        self.repeated += repeated
        if repeated:
            if self.piece_bytes > PIECE_BYTES:
                self._clean_enough *= 2
            self._clean = 0

    def on_acknowledged(self, size: int, seconds: float) -> None:
        """Take that ``size`` more bytes were reported, ``seconds`` after those before."""
        self._clean += size
        self._acknowledged += size
        self._busy += seconds
        if self._acknowledged > _MEMORY:
            self._acknowledged /= 2
            self._busy /= 2
