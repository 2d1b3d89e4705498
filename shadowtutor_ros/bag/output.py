# SPDX-License-Identifier: Apache-2.0
"""Outputs that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import shutil

from shadowtutor_ros.bag.storage import BagError


@contextmanager
def new_output(path: Path) -> Iterator[None]:
    """
    Let the caller make the file or folder ``path``; remove it when that fails.

    Raise BagError when it exists already or the file system refuses.
    """
    if path.exists():
        raise BagError(f'{path}: expected a new file or folder, it exists')
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.exists():
            path.unlink()
        if isinstance(error, OSError):
            raise BagError(f'{path}: cannot be written: {error}') from error
        raise
