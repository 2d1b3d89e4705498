# SPDX-License-Identifier: Apache-2.0
"""Where a tutor's streams come from: made anew, or taken up where a state folder left them."""

from __future__ import annotations

from pathlib import Path

from shadowtutor_ros.runtime.library import Library
from shadowtutor_ros.runtime.state_folder import StateFolder
from shadowtutor_ros.runtime.stream import FirstStudent, Stream
from shadowtutor_ros.snapshot import BadSnapshot
from shadowtutor_ros.wire.encoder import WeightSettings

_STREAMS, _BYTES = 256, 4 << 30  # in a state folder at most


class StreamStore:
    """
    Opens streams that begin with ``first``; a ``folder`` keeps what they learnt, None: nothing.

    They share a library of up to ``past`` students, none with 0. Every method may be called from
    any thread.
    """

    def __init__(
        self, first: FirstStudent, weights: WeightSettings, folder: Path | None = None,
        past: int = 0,
    ) -> None:
        """Raise UnusableStateFolder."""
        self._first, self._weights = first, weights
        self._folder = None if folder is None else StateFolder(folder, _STREAMS, _BYTES)
        self._library: Library | None = None
        if past:
            self._library = Library(
                first.student, past, None if folder is None else folder / 'library')

    def open(self, stream_id: str) -> Stream:
        """Return a stream that goes on from what is kept of it, else a fresh one."""
        if self._folder is not None:
            key = self._key(stream_id)
            snapshot = self._folder.get(key)
            if snapshot is not None:
                try:
                    return Stream.restored(
                        stream_id, self._first, self._weights, snapshot, self._library)
                except BadSnapshot as error:
                    self._folder.set_aside(key, error)
        return Stream(stream_id, self._first, self._weights, self._library)

    def keep(self, stream: Stream) -> None:
        """Have what a stream has learnt written down; nobody teaches it meanwhile."""
        if self._folder is not None:
            self._folder.put(self._key(stream.stream_id), stream.snapshot())

    def close(self) -> None:
        """Write down what waits, and let others use the folder."""
        for part in (self._folder, self._library):
            if part is not None:
                part.close()

    def _key(self, stream_id: str) -> str:
        """Name the stream and the student: with other classes it is another one's state."""
        return f'{self._first.student.layout_hash:016x} {stream_id}'
