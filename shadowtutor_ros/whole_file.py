# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are there whole or not at all, whatever ends their writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
import fcntl
import glob
import json
import os
from pathlib import Path
import shutil
import tempfile
from typing import Any

from shadowtutor_ros.errors import ShadowTutorError

_PART = '.part'  # what is under way ends so; nobody takes it for whole


class CannotWrite(ShadowTutorError):
    """The disk is full, the folder read-only, or something is in the way."""


def replace_file(path: Path, data: bytes) -> None:
    """
    Write ``data`` so that there is the old file or the new one, whole, whatever happens.

    The folder is there. Two processes may write the same file. Raise CannotWrite.
    """
    part = path.with_name(f'{path.name}.{os.getpid()}{_PART}')
    with refusals_named(path):
        try:
            with part.open('wb') as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise


def replace_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, as ``replace_file`` does."""
    replace_file(path, (json.dumps(value, indent=2) + '\n').encode())


def make_folder(path: Path) -> Path:
    """Return the folder ``path``, made with all above it if needed; raise CannotWrite."""
    with refusals_named(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """
    Yield where to write the file or folder ``path``, which appears, or is replaced, at the end.

    Nothing is left of it when the caller fails. A killed writer leaves ``<name>....part``
    beside it, which the next one removes. Folders above it are made. Raise CannotWrite.
    """
    with refusals_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f'{glob.escape(path.name)}.*{_PART}'):
            _remove_if_nobodys(left)
        room, lock = _own_room(path)
    try:
        with refusals_named(path):
            yield room / path.name
            _sync(room / path.name)
            if path.is_dir():
                path.replace(room / 'replaced')
            (room / path.name).replace(path)
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(lock)


@contextmanager
def refusals_named(path: Path) -> Iterator[None]:
    """Make an OSError a CannotWrite that names ``path``."""
    try:
        yield
    except OSError as error:
        # The name that an error carries is of no use where it is this one's or its part's.
        same = str(error.filename or path).startswith(str(path))
        why = error.strerror if same and error.strerror else str(error)
        raise CannotWrite(f'{path}: cannot be written: {why}') from error


def _own_room(path: Path) -> tuple[Path, int]:
    """Return a new folder beside ``path`` and the lock by which others see that it is in use."""
    room = Path(tempfile.mkdtemp('.new', f'{path.name}.', path.parent))
    lock = os.open(room, os.O_RDONLY)
    with suppress(OSError):  # without locks nobody removes what others leave
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return room.rename(room.with_suffix(_PART)), lock


def _remove_if_nobodys(room: Path) -> None:
    with suppress(OSError):
        lock = os.open(room, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(room, ignore_errors=True)
        finally:
            os.close(lock)


def _sync(written: Path) -> None:
    """Have a file, or all files of a folder, on the disk: a full one says so now at the latest."""
    for path in (written, *written.rglob('*')):
        if path.is_file():
            with path.open('rb') as file:
                os.fsync(file.fileno())
