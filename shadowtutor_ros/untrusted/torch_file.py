# SPDX-License-Identifier: Apache-2.0
"""Read what torch.save wrote without torch's readers, which take any size that a file claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
import math
from pathlib import Path
import struct
from typing import Any, BinaryIO
import zipfile

import torch
from torch import Tensor

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.untrusted.bounded_pickle import (
    BoundedUnpickler,
    plain_dict,
    plain_set,
    UntrustedPickle,
)

_ZIP = b'PK\x03\x04'
_TORCHSCRIPT = 'constants.pkl'
_OLD_MAGIC, _OLD_PROTOCOL = 0x1950a86a20f9469cfc6c, 1001  # before torch 1.6
_MOST_DIMENSIONS = 16

_STORAGES = {
    'BFloat16Storage': torch.bfloat16, 'BoolStorage': torch.bool, 'ByteStorage': torch.uint8,
    'CharStorage': torch.int8, 'DoubleStorage': torch.float64, 'FloatStorage': torch.float32,
    'HalfStorage': torch.float16, 'IntStorage': torch.int32, 'LongStorage': torch.int64,
    'ShortStorage': torch.int16}


class BadTorchFile(ShadowTutorError):
    """A file is damaged, none that torch.save wrote, or says that it is larger than it is."""


def read_torch_file(
    path: Path, known: Mapping[tuple[str, str], Any] | None = None, bare: tuple[type, ...] = (),
) -> Any:
    """
    Return what torch.save wrote: plain values and tensors, on the CPU, in dicts and lists.

    ``known`` and ``bare`` are BoundedUnpickler's, for what a file has beside. All storages
    together are no larger than the file, and no tensor has more elements than it has bytes.
    Raise UntrustedPickle for anything else in it, BadTorchFile.
    """
    try:
        size = path.stat().st_size
        with path.open('rb') as file:
            storages = _Storages(size)
            table = {**_TABLE, **(known or {})}
            zipped = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            return (_read_zip if zipped else _read_old)(file, size, storages, table, bare)
    except ShadowTutorError:
        raise
    except Exception as error:  # a damaged file makes the parsers raise anything
        raise BadTorchFile(f'damaged, or not of torch.save: {error!r}') from error


def _read_zip(
    file: BinaryIO, size: int, storages: _Storages, table: Mapping[tuple[str, str], Any],
    bare: tuple[type, ...],
) -> Any:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        roots = [name.partition('/')[0] for name in archive.namelist()
                 if name.partition('/')[2] == 'data.pkl']
        if len(roots) != 1:
            raise BadTorchFile(f'expected one data.pkl, got {len(roots)}')
        root, = roots
        if f'{root}/{_TORCHSCRIPT}' in archive.namelist():
            raise UntrustedPickle('expected pickled weights, got a TorchScript archive, which '
                                  'runs code')
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise BadTorchFile('expected an archive of torch.save, got a compressed one')
        if (total := sum(member.file_size for member in members)) > size:
            raise BadTorchFile(f'its {size} bytes say that they hold {total}')
        if f'{root}/byteorder' in archive.namelist() and (
                archive.read(f'{root}/byteorder') != b'little'):
            raise BadTorchFile('expected little-endian numbers')
        data = archive.read(f'{root}/data.pkl')

        def fill(key: str, into: bytearray) -> None:
            member = archive.getinfo(f'{root}/data/{key}')
            if member.file_size != len(into):
                raise BadTorchFile(f'storage {key!r}: expected {len(into)} bytes, '
                                   f'got {member.file_size}')
            into[:] = archive.read(member)
        storages.fill = fill
        return _Unpickler(BytesIO(data), len(data), storages, table, bare).load()


def _read_old(
    file: BinaryIO, size: int, storages: _Storages, table: Mapping[tuple[str, str], Any],
    bare: tuple[type, ...],
) -> Any:
    def load() -> Any:
        return _Unpickler(file, size - file.tell(), storages, table, bare).load()
    if load() != _OLD_MAGIC or load() != _OLD_PROTOCOL:
        raise BadTorchFile('expected a file of torch.save, got another one')
    load()  # of the machine that wrote it
    content, keys = load(), load()
    for key in keys:
        storage = storages.known[key]
        count, = struct.unpack('<q', file.read(8))
        if count * storage.dtype.itemsize != len(storage.data) or (
                file.readinto(storage.data) != len(storage.data)):  # type: ignore[attr-defined]
            raise BadTorchFile(f'storage {key!r}: expected {len(storage.data)} bytes')
    return content


class _Storage:
    """Numbers of one type, which tensors share; none of these has more than ``most`` elements."""

    def __init__(self, dtype: torch.dtype, data: bytearray, most: int) -> None:
        self.dtype = dtype
        self.data = data
        self.most = most

    def flat(self) -> Tensor:
        """Return all of it as a tensor, which sees what the data become later."""
        if not self.data:
            return torch.empty(0, dtype=self.dtype)
        return torch.frombuffer(self.data, dtype=self.dtype)


class _Storages:
    """
    The storages of a file, ``size`` bytes at most.

    ``fill(key, data)`` puts the bytes into one; those of the old format come behind the tensors.
    """

    def __init__(self, size: int) -> None:
        self.known: dict[str, _Storage] = {}
        self.fill: Callable[[str, bytearray], object] | None = None
        self._size = self._left = size

    def get(self, key: str, dtype: torch.dtype, count: int) -> _Storage:
        if key not in self.known:
            nbytes = count * dtype.itemsize
            if not 0 <= nbytes <= self._left:
                raise BadTorchFile(f'storage {key!r}: it has {nbytes} bytes, the file no more '
                                   f'than {self._left}')
            self._left -= nbytes
            storage = _Storage(dtype, bytearray(nbytes), self._size)
            if self.fill is not None:
                self.fill(key, storage.data)
            self.known[key] = storage
        return self.known[key]


class _Unpickler(BoundedUnpickler):
    """Knows tensors, whose storages lie elsewhere in the file."""

    def __init__(
        self, file: BinaryIO, size: int, storages: _Storages,
        table: Mapping[tuple[str, str], Any], bare: tuple[type, ...],
    ) -> None:
        super().__init__(file, size, table, 'utf-8')
        self.bare = bare
        self._storages = storages

    def persistent_load(self, name: Any) -> _Storage:
        kind, dtype, key, _, count, *view = name
        if kind != 'storage' or any(view) or not isinstance(dtype, torch.dtype):
            raise UntrustedPickle('it has something beside that is no storage')
        return self._storages.get(str(key), dtype, int(count))


def _tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...],
    *_: object,
) -> Tensor:
    """Return a view of the storage."""
    if len(size) > _MOST_DIMENSIONS or not all(0 <= length <= storage.most for length in size) or (
            math.prod(size) > storage.most):
        raise BadTorchFile(f'expected a tensor of at most {storage.most} elements, as the file '
                           'has bytes')
    return storage.flat().as_strided(size, stride, offset)


_TABLE: dict[tuple[str, str], Any] = {
    ('__builtin__', 'set'): plain_set,
    ('builtins', 'set'): plain_set,
    ('collections', 'OrderedDict'): plain_dict,
    ('torch', 'Size'): torch.Size,
    ('torch._utils', '_rebuild_tensor_v2'): _tensor,
    ('torch._utils', '_rebuild_parameter'): torch._utils._rebuild_parameter,
    **{('torch', name): dtype for name, dtype in _STORAGES.items()}}
