# SPDX-License-Identifier: Apache-2.0
"""Read a pickle that anybody may have written: nothing runs, nothing is larger than the file."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
import pickle
from typing import Any, BinaryIO

from shadowtutor_ros.errors import ShadowTutorError

_PLAIN = (str, int, float, bytes, type(None))  # a bool is an int


class UntrustedPickle(ShadowTutorError):
    """A pickle names, or asks for, what no file of its kind needs."""


class BoundedUnpickler(pickle._Unpickler):
    """
    Makes plain values and what the table ``known`` has for a module and name.

    It is Python's own in Python: the one in C allocates any memory that a few bytes ask for. Of
    ``file`` it reads no more than ``size`` bytes. Classes derived from ``bare`` are made without
    arguments, which could be numbers of gigabytes; their state follows. Keys and members are
    plain values: to hash nested ones may take for ever.
    """

    bare: tuple[type, ...] = ()
    stack: list[Any]
    metastack: list[list[Any]]

    def __init__(
        self, file: BinaryIO, size: int, known: Mapping[tuple[str, str], Any],
        encoding: str = 'ASCII',
    ) -> None:
        super().__init__(_Rest(file, size), encoding=encoding)
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise UntrustedPickle(f'it names {module}.{name}, which no such file needs') from None

    def check_call(self) -> None:
        """Look at what is made of arguments."""
        made, arguments = self.stack[-2:]
        if arguments and isinstance(made, type) and issubclass(made, self.bare):
            raise UntrustedPickle(f'it makes a {made.__name__} of arguments')

    def check_items(self, target: Any, keys: Sequence[Any]) -> None:
        """Look at keys before they are put into a dict."""
        if not isinstance(target, dict):
            raise UntrustedPickle(f'it puts items into a {type(target).__name__}')
        all_plain(keys)


def _refuse(unpickler: BoundedUnpickler) -> None:
    raise UntrustedPickle('it asks for what no such file needs')


_CHECKS: dict[bytes, Callable[[BoundedUnpickler], object]] = {
    pickle.REDUCE: BoundedUnpickler.check_call,
    pickle.NEWOBJ: BoundedUnpickler.check_call,
    pickle.SETITEM: lambda it: it.check_items(it.stack[-3], it.stack[-2:-1]),
    pickle.SETITEMS: lambda it: it.check_items(it.metastack[-1][-1], it.stack[::2]),
    pickle.DICT: lambda it: all_plain(it.stack[::2]),
    pickle.ADDITEMS: lambda it: all_plain(it.stack),
    pickle.FROZENSET: lambda it: all_plain(it.stack),
    **dict.fromkeys((pickle.BYTEARRAY8, pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX), _refuse)}


def _checked(opcode: bytes) -> Callable[[Any], None]:
    """Return what Python does for ``opcode``, behind its check."""
    check, load = _CHECKS[opcode], pickle._Unpickler.dispatch[opcode[0]]

    def checked(unpickler: Any) -> None:
        check(unpickler)
        load(unpickler)
    return checked


BoundedUnpickler.dispatch = {
    **pickle._Unpickler.dispatch, **{opcode[0]: _checked(opcode) for opcode in _CHECKS}}


def all_plain(values: Iterable[Any]) -> list[Any]:
    """Return ``values`` if all can be hashed at once; raise UntrustedPickle."""
    found = list(values)
    for value in found:
        if not isinstance(value, _PLAIN):
            raise UntrustedPickle(f'it has a {type(value).__name__} for a key')
    return found


def plain_set(values: Iterable[Any] = ()) -> set[Any]:
    """Stand for ``set`` in a table; raise UntrustedPickle."""
    return set(all_plain(values))


def plain_dict(*nothing: Any) -> OrderedDict[Any, Any]:
    """Stand for ``OrderedDict`` in a table, whose items come later; raise UntrustedPickle."""
    if nothing:
        raise UntrustedPickle('it makes a dict of arguments')
    return OrderedDict()


class _Rest:
    """What is left of a file's ``size`` bytes: nobody is given a buffer for more."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int) -> bytes:
        if not 0 <= count <= self._left:
            raise EOFError(f'{count} bytes of a value, and {self._left} in the file')
        self._left -= count
        return self._file.read(count)

    def readline(self) -> bytes:
        line = self._file.readline(self._left)
        self._left -= len(line)
        return line
