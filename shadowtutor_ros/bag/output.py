# SPDX-License-Identifier: Apache-2.0
"""Outputs that are new."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shadowtutor_ros.bag.storage import BagError
from shadowtutor_ros.whole_file import CannotWrite, whole


@contextmanager
def new_output(path: Path) -> Iterator[Path]:
    """
    Yield where to write the file or folder ``path``, which appears whole at the end or not at all.

    Raise BagError when it exists already or the file system refuses.
    """
    if path.exists():
        raise BagError(f'{path}: expected a new file or folder, it exists')
    try:
        with whole(path) as part:
            yield part
    except CannotWrite as error:
        raise BagError(str(error)) from error
