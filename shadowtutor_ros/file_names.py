# SPDX-License-Identifier: Apache-2.0
"""Names of files: their order in a folder, and those that libraries in C can open."""

from __future__ import annotations

import os
from pathlib import Path
import re

from shadowtutor_ros.errors import ShadowTutorError

_DIGITS = re.compile(r'([0-9]+)')


class BadFileName(ShadowTutorError):
    """A file's name is not UTF-8."""


def visible_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """
    Return the files of ``folder`` with one of the lower-case ``suffixes``, in natural order.

    Hidden files are none of them: other systems leave ``._0000.png`` beside ``0000.png``.
    """
    files = (path for path in folder.iterdir()
             if path.suffix.lower() in suffixes and not path.name.startswith('.')
             and path.is_file())
    return sorted(files, key=lambda path: (natural_key(path.stem), path.name))


def natural_key(name: str) -> list[tuple[int, str]]:
    """Return what sorts ``frame_2`` before ``frame_10``: numbers count as numbers."""
    return [(int(part), '') if part.isdecimal() else (-1, part)
            for part in _DIGITS.split(name) if part]


def utf8_path(path: Path) -> str:
    """
    Return ``path`` as an absolute name: no colon in it is taken for the end of a protocol.

    Raise BadFileName when it is not UTF-8: OpenCV would end the process.
    """
    name = os.fsencode(path.expanduser().absolute())
    try:
        return name.decode('utf-8')
    except UnicodeDecodeError as error:
        shown = name.decode('utf-8', 'backslashreplace')
        raise BadFileName(f'{shown}: expected a file name in UTF-8: rename it') from error
