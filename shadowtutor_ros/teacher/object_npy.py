# SPDX-License-Identifier: Apache-2.0
"""Read an ``.npy`` file of pickled objects without running anything that it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, IO

import numpy as np

from shadowtutor_ros.teacher.array_pickle import Array, ArrayUnpickler, UntrustedFile
from shadowtutor_ros.teacher.protocol import TeacherError

MAX_BYTES = 1 << 31  # half a minute of detections is some 100 MB


def read_object_npy(path: Path) -> Any:
    """
    Return the Python object that ``numpy.save`` pickled into ``path``, its arrays as Array.

    Raise UntrustedFile when it names anything but arrays, TeacherError when it is missing,
    larger than MAX_BYTES, damaged or no such file.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise TeacherError(f'{path}: expected at most {MAX_BYTES} bytes, got {size}')
        with path.open('rb') as file:
            _, dtype = read_npy_header(file)
            if not dtype.hasobject:
                raise TeacherError(f'{path}: expected a pickled dict of detections, got an array '
                                   f'of {dtype}')
            pickled = ArrayUnpickler(file, size).load()
        if isinstance(pickled, Array):
            return pickled.content
    except UntrustedFile as error:
        raise UntrustedFile(f'{path}: {error}') from None
    except TeacherError:
        raise
    except Exception as error:  # a damaged file makes the parsers raise anything
        raise TeacherError(f'{path}: not a readable .npy file: {error!r}') from error
    raise TeacherError(f'{path}: expected a pickled array, got {type(pickled).__name__}')


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of an ``.npy`` file, whose data come next; raise ValueError."""
    npy: Any = np.lib.format  # comes without types
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
