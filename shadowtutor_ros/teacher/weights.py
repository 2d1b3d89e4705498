# SPDX-License-Identifier: Apache-2.0
"""Weight files of other packages' networks, read without running anything that they say."""

from __future__ import annotations

from collections.abc import Mapping
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn, Tensor

from shadowtutor_ros.teacher.array_pickle import Array, ArrayUnpickler, UntrustedFile
from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable
from shadowtutor_ros.untrusted.torch_file import read_torch_file

_PICKLED_ARRAYS = '.pkl'


def file_version(path: Path) -> str:
    """Return the first digits of the file's SHA-256."""
    with path.open('rb') as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def load_weights(network: nn.Module, path: Path) -> None:
    """
    Fill ``network`` with the weights of ``path``: a state dict, or one under the key ``model``.

    ``.pkl`` holds pickled NumPy arrays, as detectron2's model zoo has them; anything else is
    what torch.save writes. What the network does not have is left out. Raise TeacherUnavailable
    when the file is missing, TeacherError when it is damaged, holds anything else or is of
    another network.
    """
    found = _read(path)
    expected = network.state_dict()
    if missing := expected.keys() - found.keys():
        raise TeacherError(
            f'{path}: expected the {len(expected)} weights of {type(network).__name__}, '
            f'{len(missing)} are missing, for example {min(missing)!r}')
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            raise TeacherError(f'{path}: {name}: expected the shape {tuple(tensor.shape)}, '
                               f'got {tuple(found[name].shape)}')
    network.load_state_dict({name: found[name] for name in expected})


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise TeacherUnavailable(f'{path}: no such weight file')
    try:
        content = (_read_arrays(path) if path.suffix == _PICKLED_ARRAYS
                   else read_torch_file(path))
        if isinstance(content, Mapping):
            content = content.get('model', content)
        if isinstance(content, Mapping):
            return {name: _tensor(value) for name, value in content.items()
                    if isinstance(value, (Tensor, Array))}
    except UntrustedFile as error:
        raise UntrustedFile(f'{path}: {error}') from None
    except Exception as error:  # a damaged file makes the parsers raise anything
        raise TeacherError(f'{path}: expected a state dict and nothing else in it, got a damaged '
                           f'or another file ({type(error).__name__})') from error
    raise TeacherError(f'{path}: expected a state dict, got {type(content).__name__}')


def _read_arrays(path: Path) -> Any:
    with path.open('rb') as file:
        return ArrayUnpickler(file, path.stat().st_size).load()


def _tensor(value: Tensor | Array) -> Tensor:
    return value if isinstance(value, Tensor) else torch.from_numpy(np.array(value.values()))
