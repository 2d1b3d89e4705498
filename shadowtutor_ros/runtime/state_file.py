# SPDX-License-Identifier: Apache-2.0
"""
A snapshot as a file: safetensors behind a checksum.

safetensors is imported by those who keep something: a tutor without a state folder needs none.
"""

from __future__ import annotations

import hashlib
from typing import Any

from numpy.typing import NDArray

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.snapshot import BadSnapshot, Snapshot, text_array, text_from

_MAGIC = b'shadowtutor state 1\n'
_DIGEST = 32  # bytes
_KEY = 'key'


class DamagedState(ShadowTutorError):
    """A file is not what was written to it."""


def pack(key: str, snapshot: Snapshot) -> bytes:
    """Return the file of a snapshot of what ``key`` names."""
    from safetensors.numpy import save
    body = save({**snapshot, _KEY: text_array(key)})
    return b''.join((_MAGIC, _digest(body), body))


def unpack(data: bytes) -> tuple[str, dict[str, NDArray[Any]]]:
    """Return what a file is a snapshot of, and that; raise DamagedState."""
    from safetensors import SafetensorError
    from safetensors.numpy import load
    if not data.startswith(_MAGIC):
        raise DamagedState(f'expected a file that begins with {_MAGIC!r}, '
                           f'got {data[:len(_MAGIC)]!r}')
    digest, body = (data[len(_MAGIC):][part] for part in (slice(_DIGEST), slice(_DIGEST, None)))
    if (actual := _digest(body)) != digest:
        raise DamagedState(f'{len(body)} bytes: expected checksum {digest.hex()[:16]}, '
                           f'got {actual.hex()[:16]}')
    try:
        snapshot: dict[str, NDArray[Any]] = load(body)
        key = text_from(snapshot, _KEY)
    except (SafetensorError, BadSnapshot) as error:
        raise DamagedState(str(error)) from error
    del snapshot[_KEY]
    return key, snapshot


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()
