# SPDX-License-Identifier: Apache-2.0
"""Where what streams have learnt is kept beyond them: on disk, or with whoever fetches it."""

from __future__ import annotations

from collections.abc import Mapping
import logging
from pathlib import Path
import threading
from typing import Protocol

from shadowtutor_ros.runtime.state_folder import StateFolder
from shadowtutor_ros.snapshot import Snapshot

_LOG = logging.getLogger(__name__)
_STREAMS, _BYTES = 256, 4 << 30  # in a folder at most
_WAITING = 32  # snapshots that may wait to be fetched; those of others are not kept then


class StreamStates(Protocol):
    """The newest snapshot of each stream; every method may be called from any thread."""

    def get(self, stream_id: str) -> Snapshot | None:
        """Return what is kept of a stream, None: nothing."""

    def put(self, stream_id: str, snapshot: Snapshot) -> None:
        """Have a snapshot kept, whose arrays nobody changes; returns at once."""

    def set_aside(self, stream_id: str, error: Exception) -> None:
        """Warn that what is kept is no good, and have it no more."""

    def close(self) -> None:
        """Keep what waits, and take no more."""


class FolderStates:
    """
    On disk, of students with ``layout_hash``.

    With other classes, or another network, it is another student's state.
    """

    def __init__(self, folder: Path, layout_hash: int) -> None:
        """Raise UnusableStateFolder."""
        self._folder = StateFolder(folder, _STREAMS, _BYTES)
        self._layout_hash = layout_hash

    def get(self, stream_id: str) -> Snapshot | None:
        return self._folder.get(self._key(stream_id))

    def put(self, stream_id: str, snapshot: Snapshot) -> None:
        self._folder.put(self._key(stream_id), snapshot)

    def set_aside(self, stream_id: str, error: Exception) -> None:
        self._folder.set_aside(self._key(stream_id), error)

    def close(self) -> None:
        self._folder.close()

    def _key(self, stream_id: str) -> str:
        return f'{self._layout_hash:016x} {stream_id}'


class CarriedStates:
    """
    A worker's: they are brought when it gets a stream, and fetched by whoever keeps them.

    One that is not fetched before the next one of its stream comes is forgotten.
    """

    def __init__(self) -> None:
        self._brought: dict[str, Snapshot] = {}
        self._learnt: dict[str, Snapshot] = {}
        self._lock = threading.Lock()

    def bring(self, stream_id: str, snapshot: Snapshot) -> None:
        """Have ``snapshot`` for when the stream is opened."""
        with self._lock:
            self._brought[stream_id] = snapshot

    def fetch(self, most: int) -> Mapping[str, Snapshot]:
        """Return up to ``most`` that were put and not fetched yet, the oldest first."""
        with self._lock:
            return {stream_id: self._learnt.pop(stream_id)
                    for stream_id in list(self._learnt)[:most]}

    def get(self, stream_id: str) -> Snapshot | None:
        with self._lock:
            return self._brought.pop(stream_id, None)

    def put(self, stream_id: str, snapshot: Snapshot) -> None:
        with self._lock:
            if stream_id in self._learnt or len(self._learnt) < _WAITING:
                self._learnt[stream_id] = snapshot

    def set_aside(self, stream_id: str, error: Exception) -> None:
        _LOG.warning('state of %r cannot be used, begins anew: %s', stream_id, error)

    def close(self) -> None:
        pass
