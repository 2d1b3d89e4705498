# SPDX-License-Identifier: Apache-2.0
"""What the two ends say to each other: pieces of the payload, and reports of what arrived."""

from __future__ import annotations

from dataclasses import dataclass

from shadowtutor_ros.errors import ShadowTutorError

PIECE_BYTES = 1280  # with all headers one packet, and one RTPS message of at most 1400 bytes
# Where no packet gets lost: a seventh of the messages, each of which costs both ends CPU time.
LARGE_PIECE_BYTES = 8192
REPORT_BYTES = 512


class BadPiece(ShadowTutorError):
    """A piece that cannot be part of its transfer."""


@dataclass(frozen=True)
class Piece:
    """
    One part of a payload of ``size`` bytes, of which every part but the last has ``length``.

    ``transfer`` is a random non-zero 64-bit id. ``order`` counts all pieces sent in the transfer
    from 1, repeats included. ``report`` asks for a Report.
    """

    transfer: int
    size: int
    index: int
    order: int
    report: bool
    data: bytes
    length: int = PIECE_BYTES


@dataclass(frozen=True)
class Report:
    """
    What has arrived of a transfer when its highest order was ``newest``.

    Every piece below ``first_missing`` is there; equal to the count of pieces: complete. Bit b
    of ``received`` (little-endian, at most REPORT_BYTES) stands for ``first_missing + 1 + b``.
    """

    transfer: int
    newest: int
    first_missing: int
    received: bytes

    def has(self, index: int) -> bool:
        """Say whether the piece is reported as received."""
        bit = index - self.first_missing - 1
        if bit < 0:
            return index < self.first_missing
        return bit < 8 * len(self.received) and bool(self.received[bit >> 3] >> (bit & 7) & 1)


def piece_count(size: int, length: int = PIECE_BYTES) -> int:
    """Return how many pieces of ``length`` a payload of ``size`` bytes has: at least one."""
    return max(1, -(-size // length))


def piece_length(size: int, index: int, length: int = PIECE_BYTES) -> int:
    """Return the bytes in piece ``index`` of ``size`` bytes in pieces of ``length``."""
    return min(length, size - index * length)
