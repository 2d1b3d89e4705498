# SPDX-License-Identifier: Apache-2.0
"""The receiving end: collects pieces, answers when asked, never acts by itself."""

from __future__ import annotations

import numpy as np

from shadowtutor_ros.transfer.pieces import (
    BadPiece,
    LARGE_PIECE_BYTES,
    Piece,
    PIECE_BYTES,
    piece_count,
    piece_length,
    Report,
    REPORT_BYTES,
)

REMEMBERED = 64  # payloads taken whose late pieces are still answered
# Bytes of payloads that nobody expects yet: a sender is told at once what its pieces are for, and
# begins again when they were forgotten.
EARLY = 1 << 20


class Receiver:
    """
    Collects payloads of at most ``max_bytes``.

    At most ``keep`` payloads that are not yet taken are held, of all but the one ``expected``
    EARLY bytes together: more takes the place of those that were silent for longest. The one that
    is expected loses its place to none.
    """

    def __init__(self, max_bytes: int, keep: int = 4) -> None:
        self._max_bytes = max_bytes
        self._keep = keep
        self.expected = 0
        self._open: dict[int, _Collection] = {}  # longest silent first
        self._taken: dict[int, _Collection] = {}

    def on_piece(self, piece: Piece) -> Report | None:
        """
        Take one piece; return the report to send if there is one.

        There is when the piece asks for it, when it completes its payload and when that was
        complete before. Raise BadPiece, with nothing changed, if its numbers do not fit.
        """
        collection = self._taken.get(piece.transfer) or self._open.get(piece.transfer)
        self._check(piece, collection)
        if collection is None:
            collection = _Collection(piece.size, piece.length)
        collection.add(piece)
        if piece.transfer not in self._taken:
            self._open.pop(piece.transfer, None)
            self._open[piece.transfer] = collection
            self._make_room()
        if piece.report or collection.complete:
            return collection.report(piece.transfer)
        return None

    def _make_room(self) -> None:
        """Let go of what was silent for longest and is not expected, while it is too much."""
        early = [transfer for transfer in self._open if transfer != self.expected]
        while len(self._open) > self._keep or sum(
                self._open[transfer].held for transfer in early) > EARLY:
            del self._open[early.pop(0)]

    def take(self, transfer: int) -> bytes | None:
        """Return the payload once, when it is complete; None otherwise."""
        collection = self._open.get(transfer)
        if collection is None or not collection.complete:
            return None
        del self._open[transfer]
        if len(self._taken) >= REMEMBERED:
            del self._taken[next(iter(self._taken))]
        self._taken[transfer] = collection
        return collection.take()

    def _check(self, piece: Piece, collection: _Collection | None) -> None:
        where = f'piece {piece.index} of transfer {piece.transfer:x}'
        if collection is not None and (piece.size, piece.length) != (
                collection.size, collection.length):
            raise BadPiece(f'{where}: expected a payload of {collection.size} bytes in pieces of '
                           f'{collection.length} as before, got {piece.size} in {piece.length}')
        if not 0 <= piece.size <= self._max_bytes:
            raise BadPiece(f'{where}: expected a payload of 0 to {self._max_bytes} bytes, '
                           f'got {piece.size}')
        if not PIECE_BYTES <= piece.length <= LARGE_PIECE_BYTES:
            raise BadPiece(f'{where}: expected pieces of {PIECE_BYTES} to {LARGE_PIECE_BYTES} '
                           f'bytes, got {piece.length}')
        count = piece_count(piece.size, piece.length)
        if not 0 <= piece.index < count:
            raise BadPiece(f'{where}: expected an index of 0 to {count - 1}, got {piece.index}')
        length = piece_length(piece.size, piece.index, piece.length)
        if len(piece.data) != length:
            raise BadPiece(f'{where}: expected {length} bytes, got {len(piece.data)}')
        if piece.transfer == 0 or piece.order < 1:
            raise BadPiece(f'{where}: expected a non-zero transfer and order, '
                           f'got {piece.transfer} and {piece.order}')


class _Collection:
    """The pieces of one payload that are here; memory grows with them."""

    def __init__(self, size: int, length: int) -> None:
        self.size, self.length = size, length
        self.held = 0  # bytes
        self._count = piece_count(size, length)
        self._data: dict[int, bytes] = {}
        self._here = bytearray()  # one flag per piece up to the highest that is here
        self._first_missing = 0
        self._newest = 0

    @property
    def complete(self) -> bool:
        return self._first_missing == self._count

    def add(self, piece: Piece) -> None:
        self._newest = max(self._newest, piece.order)
        if self.complete or piece.index in self._data:
            return
        self._data[piece.index] = piece.data
        self.held += len(piece.data)
        self._here.extend(bytes(max(0, piece.index + 1 - len(self._here))))
        self._here[piece.index] = 1
        if piece.index == self._first_missing:
            gap = self._here.find(0, piece.index)
            self._first_missing = len(self._here) if gap < 0 else gap

    def take(self) -> bytes:
        payload = b''.join(self._data[index] for index in range(self._count))
        self._data.clear()
        self._here.clear()
        return payload

    def report(self, transfer: int) -> Report:
        if self.complete:
            return Report(transfer, self._newest, self._count, b'')
        start = self._first_missing + 1
        flags = np.frombuffer(self._here, np.uint8)[start:start + 8 * REPORT_BYTES]
        received = np.packbits(flags, bitorder='little').tobytes()
        return Report(transfer, self._newest, self._first_missing, received)
