# SPDX-License-Identifier: Apache-2.0
"""An mcap file whose recording was cut off, as a crash leaves it: what is whole of it."""

from __future__ import annotations

import io
from pathlib import Path
import struct
from typing import Any, BinaryIO

_MAGIC = b'\x89MCAP0\r\n'
_HEAD = struct.Struct('<BQ')  # a record's kind and length
# A footer that names no summary: the reader then looks through all records.
_END = _HEAD.pack(2, 20) + bytes(20) + _MAGIC


def is_cut_off(path: Path) -> bool:
    """Say whether an mcap file has a beginning and no end."""
    with path.open('rb') as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return False
        file.seek(-len(_MAGIC), io.SEEK_END)
        return file.read() != _MAGIC


class CutOff:
    """What ``rosbags`` asks of a path, of a file that ends after its last whole record."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.suffix = path.suffix

    def __str__(self) -> str:
        return str(self._path)

    def exists(self) -> bool:
        return self._path.exists()

    def is_dir(self) -> bool:
        return False

    def open(self, mode: str = 'rb') -> BinaryIO:
        return io.BufferedReader(_Ended(self._path.open('rb')))


class _Ended(io.RawIOBase):
    """The whole records of a file, and an end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._records = _whole_records(file)
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place,
                io.SEEK_END: self._records + len(_END)}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, buffer: Any) -> int:
        beyond = self._place - self._records
        if beyond >= 0:
            data = _END[beyond:beyond + len(buffer)]
        else:
            self._file.seek(self._place)
            data = self._file.read(min(len(buffer), -beyond))
        buffer[:len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _whole_records(file: BinaryIO) -> int:
    """Return where the last record ends that is there as long as it says."""
    size = file.seek(0, io.SEEK_END)
    end = len(_MAGIC)
    while True:
        file.seek(end)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return end
        behind = end + _HEAD.size + _HEAD.unpack(head)[1]
        if behind > size:
            return end
        end = behind
