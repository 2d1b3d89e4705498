# SPDX-License-Identifier: Apache-2.0
"""What is kept of something beyond its process: named arrays, checked when they come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from shadowtutor_ros.errors import ShadowTutorError

Snapshot = Mapping[str, NDArray[Any]]


class BadSnapshot(ShadowTutorError):
    """What was kept is missing, of another type or shape, or not finite."""


def array_of(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's values in the host's memory, C-contiguous; a copy only if it must be."""
    return np.asarray(tensor.detach().cpu().numpy(), order='C')


def text_array(text: str) -> NDArray[np.uint8]:
    """Return the UTF-8 bytes of ``text``."""
    return np.frombuffer(text.encode(), np.uint8)


def array_from(snapshot: Snapshot, name: str, dtype: type[np.generic]) -> NDArray[Any]:
    """Return the array ``name`` of ``dtype``; raise BadSnapshot."""
    if name not in snapshot:
        raise BadSnapshot(f'{name} is missing')
    array = snapshot[name]
    if array.dtype != dtype:
        raise BadSnapshot(f'{name}: expected {np.dtype(dtype)}, got {array.dtype}')
    return array


def tensor_from(
    snapshot: Snapshot, name: str, shape: tuple[int, ...], dtype: type[np.generic] = np.float32,
) -> Tensor:
    """Return the finite tensor ``name`` of ``shape`` on the host; raise BadSnapshot."""
    array = array_from(snapshot, name, dtype)
    if array.shape != shape:
        raise BadSnapshot(f'{name}: expected shape {shape}, got {array.shape}')
    if not np.isfinite(array).all():
        raise BadSnapshot(f'{name} holds values that are not finite')
    return torch.from_numpy(array.copy())


def number_from(snapshot: Snapshot, name: str, dtype: type[np.generic] = np.int64) -> Any:
    """Return the number ``name``, kept as ``dtype``; raise BadSnapshot."""
    array = array_from(snapshot, name, dtype)
    if array.shape != ():
        raise BadSnapshot(f'{name}: expected one number, got {array.size}')
    return array.item()


def text_from(snapshot: Snapshot, name: str) -> str:
    """Return the text ``name``; raise BadSnapshot."""
    try:
        return bytes(array_from(snapshot, name, np.uint8)).decode()
    except UnicodeDecodeError as error:
        raise BadSnapshot(f'{name}: expected UTF-8, got {error}') from error
