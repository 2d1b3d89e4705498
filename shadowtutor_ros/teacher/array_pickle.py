# SPDX-License-Identifier: Apache-2.0
"""Read pickled arrays without running anything that the file says."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.teacher.protocol import TeacherError
from shadowtutor_ros.untrusted.bounded_pickle import BoundedUnpickler, UntrustedPickle

_NUMBERS = ('b1', 'f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8')
_OBJECT = 'O8'
_LIBRARIES = ('numpy.core.multiarray', 'numpy._core.multiarray')


class UntrustedFile(TeacherError):
    """A file wants something that no array of numbers needs."""


class _Type:
    """Stands for ``numpy.dtype`` while a pickle is read."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in (*_NUMBERS, _OBJECT):
            raise UntrustedFile('expected arrays of numbers, got another type')
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] == '>':
            raise UntrustedFile(f'expected little-endian numbers, got >{self.code}')


class Array:
    """An array of a pickle: its bytes, nothing allocated for what it claims to be."""

    def __init__(self, *_: object) -> None:
        self._code = ''

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self._shape, dtype, self._fortran, self._data = state
        self._code = dtype.code

    @property
    def content(self) -> Any:
        """The object in an array of one object; raise UntrustedFile when it is no such array."""
        if self._code != _OBJECT or not isinstance(self._data, list) or len(self._data) != 1:
            raise UntrustedFile('expected one pickled object, got another array')
        return self._data[0]

    def values(self) -> NDArray[Any]:
        """Return the array of numbers; raise UntrustedFile when it holds anything else."""
        if self._code not in _NUMBERS or not isinstance(self._data, bytes):
            raise UntrustedFile('expected an array of numbers, got another array')
        try:
            flat = np.frombuffer(self._data, self._code)
            return flat.reshape(self._shape, order='F' if self._fortran else 'C')
        except (ValueError, TypeError) as error:
            raise UntrustedFile(f'expected an array of numbers: {error}') from error


def _no_bytes() -> bytes:
    """Stand for ``bytes``, by which old pickles keep an empty array."""
    return b''


class ArrayUnpickler(BoundedUnpickler):
    """Knows arrays of numbers, and refuses to name anything else."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, size, {
            ('numpy', 'ndarray'): Array,
            ('numpy', 'dtype'): _Type,
            ('__builtin__', 'bytes'): _no_bytes,
            ('_codecs', 'encode'): self._encode,
            **{(library, '_reconstruct'): Array for library in _LIBRARIES},
        })
        self._left = size

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except UntrustedPickle:
            raise UntrustedFile(f'the file names {module}.{name}, which no file of arrays '
                                'needs: it is not loaded') from None

    def _encode(self, text: str, encoding: str) -> bytes:
        """Return bytes as old pickles keep them; all of them fit into the file's size."""
        self._left -= len(text)
        if encoding != 'latin1' or self._left < 0:
            raise UntrustedFile('expected bytes of the file, got more than it has')
        return text.encode('latin1')
