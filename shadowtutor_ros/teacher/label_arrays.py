# SPDX-License-Identifier: Apache-2.0
"""Label maps in one array of a file: NumPy's ``.npz`` or HDF5, whose sizes are looked at first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import math
from pathlib import Path
from typing import Any
import zipfile

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.teacher.object_npy import read_npy_header
from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable

MAX_PIXELS = 1 << 26  # of a label map: beyond any camera
MAX_UNPACKED = 1 << 30  # bytes of a compressed .npz
MAX_CHUNK = 1 << 28  # bytes that HDF5 unpacks at once

LabelMap = NDArray[np.uint8]


def open_npz(path: Path) -> tuple[int, Callable[[int], LabelMap]]:
    """
    Return the number of maps in the array ``labels``, uint8 NxHxW, and what reads one.

    Raise TeacherError for any other file, and for one that unpacks to more than MAX_UNPACKED.
    """
    most = max(MAX_UNPACKED, path.stat().st_size)
    with _named(path, 'a readable .npz'), zipfile.ZipFile(path) as archive:
        if 'labels.npy' not in archive.namelist():
            raise _no_array(path, 'none')
        with archive.open('labels.npy') as member:
            shape, dtype = read_npy_header(member)
        _check(path, shape, dtype)
        if (total := math.prod(shape)) > most:
            raise TeacherError(f'{path}: expected at most {most} bytes of label maps, got {total}:'
                               ' a folder of PNGs or an .h5 is read map by map')
        with np.load(path) as arrays:
            labels: NDArray[np.uint8] = arrays['labels']
    return len(labels), lambda index: labels[index]


def open_hdf5(path: Path) -> tuple[int, Callable[[int], LabelMap]]:
    """
    Return the number of maps in the dataset ``labels``, uint8 NxHxW, and what reads one.

    Raise TeacherError for any other file, and for one whose data lie in another file;
    TeacherUnavailable without h5py.
    """
    try:
        import h5py
    except ImportError as error:
        raise TeacherUnavailable(f'{path}: HDF5 labels need h5py: pip install h5py') from error
    with _named(path, 'a readable HDF5 file'):
        file = h5py.File(path)
        if not isinstance(file.get('labels', getlink=True), (h5py.HardLink, type(None))):
            raise TeacherError(f'{path}: expected labels in this file, got a link')
        stored: Any = file.get('labels')
        if not isinstance(stored, h5py.Dataset):
            raise _no_array(path, 'none' if stored is None else 'a group')
        _check(path, stored.shape, stored.dtype)
        if stored.external or stored.is_virtual:
            raise TeacherError(f'{path}: expected labels in this file, got those of another')
        if stored.chunks and (size := math.prod(stored.chunks)) > MAX_CHUNK:
            raise TeacherError(f'{path}: expected chunks of at most {MAX_CHUNK} bytes, got {size}')

    def read(index: int) -> LabelMap:
        with _named(f'{path}: label map {index}', 'readable HDF5 data'):
            return np.asarray(stored[index], np.uint8)
    return len(stored), read


def _check(path: Path, shape: tuple[int, ...] | None, dtype: np.dtype[Any]) -> None:
    if shape is None or len(shape) != 3 or dtype != np.uint8 or not all(shape):
        raise _no_array(path, f'{dtype} {shape}')
    if shape[1] * shape[2] > MAX_PIXELS:
        raise TeacherError(f'{path}: expected label maps of at most {MAX_PIXELS} pixels, '
                           f'got {shape[1]}x{shape[2]}')


def _no_array(path: Path, found: str) -> TeacherError:
    return TeacherError(f'{path}: expected an array labels, uint8 NxHxW, got {found}')


@contextmanager
def _named(what: object, expected: str) -> Iterator[None]:
    """Name the file: damaged data make the libraries raise anything."""
    try:
        yield
    except TeacherError:
        raise
    except Exception as error:
        raise TeacherError(f'{what}: not {expected}: {error or type(error).__name__}') from error
