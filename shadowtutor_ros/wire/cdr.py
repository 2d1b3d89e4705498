# SPDX-License-Identifier: Apache-2.0
"""
Sizes in serialized messages, checked before anything is allocated for them.

Bounds in a .msg file bind who writes: Fast DDS's deserializer makes as many elements as the bytes
say, up to one per byte that is left, and an element of a sequence of messages takes a hundred.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
import struct
from typing import Any

from rosidl_parser.definition import (
    AbstractSequence,
    AbstractString,
    Array,
    BasicType,
    BoundedSequence,
    NamespacedType,
)

from shadowtutor_ros.wire.errors import BadCdr

_HEADER = 4  # bytes: what the rest is coded in
_SIZES = {'boolean': 1, 'octet': 1, 'uint8': 1, 'int8': 1, 'char': 1, 'uint16': 2, 'int16': 2,
          'uint32': 4, 'int32': 4, 'float': 4, 'uint64': 8, 'int64': 8, 'double': 8}


def check_sizes(data: bytes, message: type) -> None:
    """
    Raise BadCdr unless ``data`` is long enough for all that it says and within the bounds.

    ``message`` is a class that rosidl generated; ``data`` is what ``serialize_message`` returns
    of one, plain CDR. Nothing is allocated, numbers are stepped over.
    """
    if len(data) < _HEADER or data[0] != 0 or data[1] > 1:
        raise BadCdr(f'expected plain CDR, got {len(data)} bytes: {data[:_HEADER].hex()}')
    _Reader(data).skip_message(message)


class _Reader:
    """A place in the bytes, which moves behind what is skipped."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = _HEADER
        self._uint32 = struct.Struct('<I' if data[1] else '>I')

    def skip_message(self, message: type) -> None:
        for name, kind in _fields(message):
            try:
                self._skip(kind)
            except BadCdr as error:
                raise BadCdr(f'{name}: {error}') from None

    def _skip(self, kind: Any) -> None:
        if isinstance(kind, BasicType):
            self._skip_numbers(_SIZES[kind.typename], 1)
        elif isinstance(kind, AbstractString):
            bound = kind.maximum_size if kind.has_maximum_size() else None
            self._skip_numbers(1, self._count(None if bound is None else bound + 1))  # its zero
        elif isinstance(kind, NamespacedType):
            self.skip_message(getattr(import_module('.'.join(kind.namespaces)), kind.name))
        elif isinstance(kind, Array):
            self._skip_elements(kind.value_type, kind.size)
        elif isinstance(kind, AbstractSequence):
            self._skip_elements(kind.value_type, self._count(
                kind.maximum_size if isinstance(kind, BoundedSequence) else None))
        else:
            raise BadCdr(f'{type(kind).__name__} is not read here')

    def _skip_elements(self, kind: Any, count: int) -> None:
        if isinstance(kind, BasicType):
            self._skip_numbers(_SIZES[kind.typename], count)
            return
        for _ in range(count):
            self._skip(kind)

    def _count(self, most: int | None) -> int:
        self._skip_numbers(4, 1)
        count: int = self._uint32.unpack_from(self._data, self._at - 4)[0]
        if most is not None and count > most:
            raise BadCdr(f'expected at most {most}, got {count}')
        return count

    def _skip_numbers(self, size: int, count: int) -> None:
        if not count:
            return
        self._at += (_HEADER - self._at) % size + size * count
        if self._at > len(self._data):
            raise BadCdr(f'expected {count} of {size} bytes, '
                         f'{self._at - len(self._data)} bytes are missing')


@cache
def _fields(message: Any) -> tuple[tuple[str, Any], ...]:
    return tuple(zip(message.get_fields_and_field_types(), message.SLOT_TYPES))
