# SPDX-License-Identifier: Apache-2.0
"""A whole student that a robot hands up, bit for bit: both ends know its parameters already."""

from __future__ import annotations

from collections.abc import Mapping
import math
import zlib

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.model.groups import Shapes
from shadowtutor_ros.wire.errors import CorruptUpdate, NonFiniteUpdate

_FLOAT = np.dtype('<f4')


def pack_student(tensors: Mapping[str, Tensor]) -> bytes:
    """
    Return float32 ``tensors``, those of a whole student in its network's order, as bytes.

    Bytes of one significance lie together: signs and exponents are alike, and what was rounded
    to fp16 has zeros behind.
    """
    flat = torch.cat([tensor.detach().flatten() for tensor in tensors.values()])
    planes = flat.cpu().numpy().astype(_FLOAT).view(np.uint8).reshape(-1, _FLOAT.itemsize).T
    return zlib.compress(planes.tobytes(), 1)


def unpack_student(data: bytes, shapes: Shapes) -> dict[str, Tensor]:
    """
    Return the tensors of exactly ``shapes`` that ``pack_student`` made bytes of.

    Raise CorruptUpdate, before more than their bytes are unpacked, or NonFiniteUpdate.
    """
    sizes = [math.prod(shape) for shape in shapes.values()]
    expected = sum(sizes) * _FLOAT.itemsize
    decompressor = zlib.decompressobj()
    try:
        planes = decompressor.decompress(data, expected + 1)
    except zlib.error as error:
        raise CorruptUpdate(f'{len(data)} bytes are no student: {error}') from error
    if len(planes) != expected or not decompressor.eof or decompressor.unused_data:
        raise CorruptUpdate(f'{len(data)} bytes: expected a student of {expected} bytes, '
                            f'got {"more" if len(planes) > expected else len(planes)}')
    values = np.frombuffer(planes, np.uint8).reshape(_FLOAT.itemsize, -1).T.copy()
    flat = values.view(_FLOAT).ravel().astype(np.float32)
    if not np.isfinite(flat).all():
        raise NonFiniteUpdate(f'{np.count_nonzero(~np.isfinite(flat))} of {flat.size} weights '
                              'of a student that was handed up are not finite')
    parts = torch.split(torch.from_numpy(flat), sizes)
    return {name: part.view(shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)}
