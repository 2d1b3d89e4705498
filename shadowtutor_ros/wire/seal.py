# SPDX-License-Identifier: Apache-2.0
"""
Checksums of the link's messages over every field, keyed where robot and tutor share a key.

They are made of the fields' values: bytes that a middleware serializes hold padding that is
never the same.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
import struct
from typing import Any, TypeVar

import numpy as np
from rosidl_parser.definition import AbstractString, BasicType, NamespacedType

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.wire.errors import WireError

KEY_BYTES = 16, 4096  # of a key file, at least and at most
_REMEMBERED = 4096  # senders whose last moment is kept
_PERSON = b'shadowtutor link'
_SIZE = struct.Struct('<Q')
_CODES = {'boolean': '?', 'octet': 'B', 'uint8': 'B', 'char': 'B', 'int8': 'b', 'uint16': 'H',
          'int16': 'h', 'uint32': 'I', 'int32': 'i', 'uint64': 'Q', 'int64': 'q',
          'float': 'f', 'double': 'd'}

_Pack = Callable[[Any], bytes]
M = TypeVar('M')


class BadKeyFile(ShadowTutorError):
    """The file of a link's key cannot be one."""


class BadTag(WireError):
    """A message is not what was sent, is for somebody else, or comes from one without the key."""


class Replayed(WireError):
    """A message that was seen before, or one that a newer one has overtaken."""


class Seal:
    """
    Makes and checks the ``tag`` of messages; thread-safe.

    A tag covers type and fields of a message and a ``context``: the topic that it is for, or the
    question that it answers. Without a ``key`` it finds what was damaged on its way, and a
    question, which has no context, may come without one, 0. With a key it finds what was sent by
    others.
    """

    def __init__(self, key: bytes = b'') -> None:
        self.keyed = bool(key)
        self._start = blake2b(digest_size=8, key=key, person=_PERSON)

    @classmethod
    def of_file(cls, path: Path | None) -> Seal:
        """Return a Seal with the key that a file holds, unkeyed for None; raise BadKeyFile."""
        if path is None:
            return cls()
        try:
            with path.open('rb') as file:
                secret = file.read(KEY_BYTES[1] + 1).strip()
        except OSError as error:
            raise BadKeyFile(f'link_key_file {path}: {error.strerror}') from error
        if not KEY_BYTES[0] <= len(secret) <= KEY_BYTES[1]:
            raise BadKeyFile(f'link_key_file {path}: expected {KEY_BYTES[0]} to {KEY_BYTES[1]} '
                             f'bytes, got {len(secret) or "none"}')
        return cls(blake2b(secret, digest_size=32, person=_PERSON).digest())

    def sign(self, message: M, context: bytes = b'') -> M:
        """Put the tag into ``message`` and return it."""
        message.tag = self._tag(message, context)  # type: ignore[attr-defined]
        return message

    def check(self, message: Any, context: bytes = b'') -> None:
        """Raise BadTag unless the message has the right tag."""
        if not (message.tag or context or self.keyed):
            return
        if message.tag != self._tag(message, context):
            raise BadTag(f'{type(message).__name__}: ' + (
                'without the right key (link_key_file), or for somebody else' if self.keyed else
                'its checksum does not fit: damaged, for somebody else, or from one with a '
                'link_key_file'))

    def _tag(self, message: Any, context: bytes) -> int:
        digest = self._start.copy()
        digest.update(_counted(type(message).__name__.encode()) + _counted(context))
        kind: type = type(message)
        digest.update(_packer(kind)(message))
        return int.from_bytes(digest.digest(), 'little') or 1


UNKEYED = Seal()


def answer_to(question: Any) -> bytes:
    """Return the context of what answers a message; none if that has no tag."""
    return _SIZE.pack(question.tag) if question.tag else b''


class Moments:
    """What senders said last of their own clocks: one that does not grow was heard before."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, int], int] = OrderedDict()

    def take(self, stream_id: str, robot: int, moment: int) -> None:
        """Raise Replayed unless this is later than what the ``robot`` said last."""
        sender = stream_id, robot
        if moment <= (last := self._last.get(sender, 0)):
            raise Replayed(f'expected a moment after {last}, got {moment}: sent twice, or '
                           'overtaken')
        self._last[sender] = moment
        self._last.move_to_end(sender)
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)


def _counted(data: bytes) -> bytes:
    return _SIZE.pack(len(data)) + data


@cache
def _packer(message: type) -> _Pack:
    """Return what makes bytes of a message's fields: the same on every machine."""
    fields = [(name, _packer_of(kind)) for name, kind in zip(
        message.get_fields_and_field_types(), message.SLOT_TYPES)  # type: ignore[attr-defined]
        if name != 'tag']
    return lambda value: b''.join([pack(getattr(value, name)) for name, pack in fields])


def _packer_of(kind: Any) -> _Pack:
    if isinstance(kind, BasicType):
        return struct.Struct('<' + _CODES[kind.typename]).pack
    if isinstance(kind, AbstractString):
        return lambda text: _counted(text.encode('utf-8', 'surrogateescape'))
    if isinstance(kind, NamespacedType):
        return _packer(getattr(import_module('.'.join(kind.namespaces)), kind.name))
    element = kind.value_type  # of a sequence or an array
    if isinstance(element, BasicType):
        dtype = np.dtype('<' + _CODES[element.typename])
        return lambda values: _counted(np.asarray(values, dtype).tobytes())
    pack = _packer_of(element)
    return lambda values: _SIZE.pack(len(values)) + b''.join(map(pack, values))
