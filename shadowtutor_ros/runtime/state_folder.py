# SPDX-License-Identifier: Apache-2.0
"""Snapshots on disk: written beside the work, bounded, checked when they are read."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import fcntl
import hashlib
import logging
from pathlib import Path
import threading
import time

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.runtime.state_file import DamagedState, pack, unpack
from shadowtutor_ros.snapshot import Snapshot
from shadowtutor_ros.whole_file import CannotWrite, replace_file

_LOG = logging.getLogger(__name__)
_SUFFIX, _DAMAGED = '.state', '.damaged'
_WAITING = 32  # snapshots that may wait to be written; those of others are not taken then
_QUIET = 60.0  # seconds from one warning that nothing can be written to the next


class UnusableStateFolder(ShadowTutorError):
    """A folder in which nothing can be kept, or in which another process keeps its own."""


class StateFolder:
    """
    A file for each key, of which the newest snapshot counts.

    A thread writes them; what cannot be written is warned of and work goes on. At most ``files``
    files and ``nbytes`` bytes stay, the oldest go. Every method may be called from any thread.
    """

    def __init__(self, path: Path, files: int, nbytes: int) -> None:
        """Make the folder and lock it against other processes; raise UnusableStateFolder."""
        self._path, self._files, self._nbytes = path, files, nbytes
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock_file = (path / 'lock').open('w')
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for part in path.glob('*.part'):  # of a process that was killed
                part.unlink()
            probe = path / f'probe{_SUFFIX}'
            replace_file(probe, b'')
            probe.unlink()
        except BlockingIOError as error:
            raise UnusableStateFolder(f'state_folder {path}: another process keeps its own state '
                                      'there') from error
        except (OSError, CannotWrite) as error:
            raise UnusableStateFolder(f'state_folder {path}: nothing can be kept there: '
                                      f'{error}') from error
        self._waiting: dict[str, Snapshot] = {}
        self._writing: tuple[str, Snapshot] | None = None
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, 'keep')
        self._warned = -_QUIET
        self._closed = False

    def put(self, key: str, snapshot: Snapshot) -> None:
        """Have a snapshot written, whose arrays nobody changes; returns at once."""
        with self._lock:
            if self._closed:
                return
            if key in self._waiting:
                self._waiting[key] = snapshot
            elif len(self._waiting) < _WAITING:
                self._waiting[key] = snapshot
                self._thread.submit(self._write_next)

    def get(self, key: str) -> Snapshot | None:
        """
        Return the newest snapshot, None where there is none.

        A damaged file is warned of and set aside.
        """
        with self._lock:
            if key in self._waiting:
                return self._waiting[key]
            if self._writing is not None and self._writing[0] == key:
                return self._writing[1]
        stored = self._read(self._file_of(key))
        if stored is None:
            return None
        if stored[0] != key:
            self.set_aside(key, DamagedState(
                f'expected the state of {key!r}, got that of {stored[0]!r}'))
            return None
        return stored[1]

    def snapshots(self, prefix: str) -> Iterator[tuple[str, Snapshot]]:
        """Yield what is on disk by keys that begin with ``prefix``, the oldest first."""
        for path in sorted(self._path.glob(f'*{_SUFFIX}'), key=lambda path: path.stat().st_mtime):
            stored = self._read(path)
            if stored is not None and stored[0].startswith(prefix):
                yield stored

    def remove(self, key: str) -> None:
        """Keep nothing of ``key`` any more."""
        with self._lock:
            self._waiting.pop(key, None)
            if not self._closed:
                self._thread.submit(self._file_of(key).unlink, missing_ok=True)

    def set_aside(self, key: str, error: Exception) -> None:
        """Warn that a file is no good, and keep it for whoever wants to look at it."""
        self._set_aside(self._file_of(key), error)

    def close(self) -> None:
        """Write what waits, take no more and let others use the folder."""
        with self._lock:
            self._closed = True
        self._thread.shutdown()
        self._lock_file.close()

    def _read(self, path: Path) -> tuple[str, Snapshot] | None:
        try:
            if (size := path.stat().st_size) > self._nbytes:
                raise DamagedState(f'expected at most {self._nbytes} bytes, got {size}')
            return unpack(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            _LOG.warning('%s cannot be read, begins anew: %s', path, error)
        except DamagedState as error:
            self._set_aside(path, error)
        return None

    def _set_aside(self, path: Path, error: Exception) -> None:
        _LOG.warning('%s is damaged, begins anew; the file is %s now: %s: %s',
                     path, path.with_suffix(_DAMAGED).name, type(error).__name__, error)
        try:
            path.replace(path.with_suffix(_DAMAGED))
        except OSError as failure:
            self._warn(failure)

    def _file_of(self, key: str) -> Path:
        digest = hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
        return self._path / f'{digest}{_SUFFIX}'

    def _write_next(self) -> None:
        with self._lock:
            if not self._waiting:  # it was removed
                return
            key = next(iter(self._waiting))
            snapshot = self._waiting.pop(key)
            self._writing = key, snapshot
        try:
            path = self._file_of(key)
            replace_file(path, pack(key, snapshot))
            self._thin_out(path)
        except Exception as error:  # the next one must have its turn
            self._warn(error)
        finally:
            with self._lock:
                self._writing = None

    def _thin_out(self, newest: Path) -> None:
        """Remove the oldest files while there are too many or they are too large."""
        files = sorted(((stat.st_mtime, stat.st_size, path) for path in self._path.iterdir()
                        if path.suffix in (_SUFFIX, _DAMAGED) and path != newest
                        for stat in [path.stat()]), reverse=True)
        total = newest.stat().st_size
        for index, (_, size, path) in enumerate(files, 1):
            total += size
            if index >= self._files or total > self._nbytes:
                path.unlink(missing_ok=True)

    def _warn(self, error: Exception) -> None:
        if time.monotonic() >= self._warned + _QUIET:
            self._warned = time.monotonic()
            _LOG.warning('%s: nothing is kept there at the moment: %s: %s',
                         self._path, type(error).__name__, error)
