# SPDX-License-Identifier: Apache-2.0
"""Where a tutor's streams come from: made anew, or taken up where what is kept of them ends."""

from __future__ import annotations

from pathlib import Path

from shadowtutor_ros.runtime.library import Library
from shadowtutor_ros.runtime.stream import FirstStudent, Stream
from shadowtutor_ros.runtime.stream_states import FolderStates, StreamStates
from shadowtutor_ros.snapshot import BadSnapshot
from shadowtutor_ros.wire.encoder import WeightSettings


class StreamStore:
    """
    Opens streams that begin with ``first``; a ``folder`` keeps what they learnt, None: ``states``.

    They share a library of up to ``past`` students, none with 0. Every method may be called from
    any thread.
    """

    def __init__(
        self, first: FirstStudent, weights: WeightSettings, folder: Path | None = None,
        past: int = 0, states: StreamStates | None = None,
    ) -> None:
        """Raise UnusableStateFolder."""
        self._first, self._weights = first, weights
        self._states = states if folder is None else FolderStates(
            folder, first.student.layout_hash)
        self._library: Library | None = None
        if past:
            self._library = Library(
                first.student, past, None if folder is None else folder / 'library')

    def open(self, stream_id: str) -> Stream:
        """Return a stream that goes on from what is kept of it, else a fresh one."""
        if self._states is not None:
            snapshot = self._states.get(stream_id)
            if snapshot is not None:
                try:
                    return Stream.restored(
                        stream_id, self._first, self._weights, snapshot, self._library)
                except BadSnapshot as error:
                    self._states.set_aside(stream_id, error)
        return Stream(stream_id, self._first, self._weights, self._library)

    def keep(self, stream: Stream) -> None:
        """Have what a stream has learnt kept; nobody teaches it meanwhile."""
        if self._states is not None:
            self._states.put(stream.stream_id, stream.snapshot())

    def close(self) -> None:
        """Keep what waits, and let others use the folder."""
        for part in (self._states, self._library):
            if part is not None:
                part.close()
