# SPDX-License-Identifier: Apache-2.0
"""Student checkpoints: safetensors that say what they are, and import of the authors' file."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path

from safetensors import safe_open, SafetensorError
from safetensors.torch import save
import torch
from torch import Tensor

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.groups import FULL, Shapes, shapes_of
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import BadConfiguration, SHADOWTUTOR, UnknownArchitecture
from shadowtutor_ros.tasks.table import SEGMENTATION, UnknownTask
from shadowtutor_ros.untrusted.bounded_pickle import UntrustedPickle
from shadowtutor_ros.untrusted.torch_file import BadTorchFile, read_torch_file
from shadowtutor_ros.whole_file import replace_file

_METADATA_KEY = 'shadowtutor_student'

# The authors' names for the parts of their published checkpoint, front to back.
_AUTHORS_BLOCKS = {'enc1': 'sb1', 'enc2': 'sb2', 'enc3': 'sb3',
                   'dec1': 'sb4', 'dec2': 'sb5', 'dec3': 'sb6'}
_AUTHORS_PATHS = {'preact_path': 'pre', 'short_path': 'short', 'long_path': 'long'}


class CheckpointError(ShadowTutorError):
    """A checkpoint is missing, unreadable or for another network."""


def save_checkpoint(
    student: Student, path: Path, dtype: torch.dtype = torch.float32,
) -> None:
    """
    Write the whole student with all that its ``info`` has as ``.safetensors``.

    Weights are rounded to ``dtype``. A file that is there is replaced whole. Raise CannotWrite.
    """
    tensors = {name: tensor.contiguous().to('cpu', dtype)
               for name, tensor in student.weights(FULL).items()}
    replace_file(path, save(tensors, metadata={_METADATA_KEY: info_to_text(student.info)}))


def info_to_text(info: StudentInfo) -> str:
    """Return all that ``info`` has as JSON."""
    return json.dumps({
        'class_names': info.class_names, 'class_colours': info.class_colours,
        'mean': info.mean, 'std': info.std, 'task': info.task,
        'architecture': info.architecture, 'configuration': info.configuration})


def info_from_text(text: str) -> StudentInfo:
    """Return what ``info_to_text`` wrote; raise ValueError, KeyError or TypeError."""
    fields = json.loads(text)
    return StudentInfo(
        tuple(fields['class_names']), tuple(tuple(c) for c in fields['class_colours']),
        tuple(fields['mean']), tuple(fields['std']),
        # Files of the first releases have none of these.
        str(fields.get('task', SEGMENTATION)),
        str(fields.get('architecture', SHADOWTUTOR)),
        dict(fields.get('configuration', {})))


def load_checkpoint(
    path: Path, info: StudentInfo | None = None, device: str | torch.device = 'cpu',
) -> Student:
    """
    Read a student from ``.safetensors`` (ours) or ``.pth`` (the authors' or our key names).

    ``info`` is needed for a ``.pth``, which says nothing of itself; where it is given for a
    safetensors file its class names must be the file's, which knows the rest better. Raise
    CheckpointError otherwise.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f'{path}: no such student checkpoint')
    if path.suffix == '.safetensors':
        return _read_safetensors(path, info, device)
    if path.suffix not in ('.pth', '.pt'):
        raise CheckpointError(
            f'{path}: expected .safetensors, .pth or .pt, got {path.suffix or "no suffix"}')
    if info is None:
        raise CheckpointError(f'{path}: a {path.suffix} file carries no class names; '
                              'give the classes or convert it to .safetensors')
    student, tensors = _student(path, info, device), _read_pth(path)
    _check_shapes(path, shapes_of(tensors), student)
    return _filled(path, student, tensors)


def _read_safetensors(
    path: Path, info: StudentInfo | None, device: str | torch.device,
) -> Student:
    try:
        with safe_open(path, framework='pt') as file:
            stored = _stored_info(path, (file.metadata() or {}).get(_METADATA_KEY))
            if info is not None and info.class_names != stored.class_names:
                raise CheckpointError(f'{path}: expected classes {info.class_names}, '
                                      f'the file has {stored.class_names}')
            student = _student(path, stored, device)
            names = list(file.keys())
            # Before anything is read: a sparse file of some kilobytes may be gigabytes long.
            _check_shapes(path, {name: tuple(file.get_slice(name).get_shape())
                                 for name in names}, student)
            return _filled(path, student, {name: file.get_tensor(name) for name in names})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path}: not a safetensors file: {error}') from error


def _stored_info(path: Path, metadata: str | None) -> StudentInfo:
    if metadata is None:
        raise CheckpointError(f'{path}: no {_METADATA_KEY!r} metadata: not a student checkpoint')
    try:
        return info_from_text(metadata)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f'{path}: bad {_METADATA_KEY!r} metadata: {error!r}') from error


def _student(path: Path, info: StudentInfo, device: str | torch.device) -> Student:
    """Return a student with random weights."""
    try:
        return Student(info, info.network(), device)
    except (UnknownTask, UnknownArchitecture, BadConfiguration) as error:
        raise CheckpointError(f'{path}: {error}') from error


def _read_pth(path: Path) -> dict[str, Tensor]:
    try:
        state = read_torch_file(path)
    except (BadTorchFile, UntrustedPickle) as error:
        raise CheckpointError(f'{path}: not a loadable weights-only file: {error}') from error
    if isinstance(state, Mapping) and isinstance(state.get('state_dict'), Mapping):
        state = state['state_dict']
    if not isinstance(state, Mapping):
        raise CheckpointError(f'{path}: expected a state dict, got {type(state).__name__}')
    return {_own_name(str(key)): value
            for key, value in state.items() if isinstance(value, Tensor)}


def _own_name(key: str) -> str:
    """Translate one of the authors' parameter names into ours; leave others alone."""
    block, *rest = key.removeprefix('module.').split('.')
    if block not in _AUTHORS_BLOCKS or not rest:
        return '.'.join([block, *rest])
    part, *rest = rest
    own = _AUTHORS_PATHS.get(part, part)
    if own == 'short':
        rest = rest[-1:]  # theirs is a one-layer Sequential, ours the layer itself
    return '.'.join([_AUTHORS_BLOCKS[block], own, *rest])


def _check_shapes(path: Path, actual: Shapes, student: Student) -> None:
    expected = shapes_of(student.weights(FULL))
    if missing := expected.keys() - actual.keys():
        raise CheckpointError(f'{path}: {len(missing)} of {len(expected)} parameters are '
                              f'missing, for example {min(missing)!r}')
    if extra := actual.keys() - expected.keys():
        raise CheckpointError(f'{path}: {len(extra)} unknown parameters, '
                              f'for example {min(extra)!r}')
    for name, shape in expected.items():
        if actual[name] != shape:
            raise CheckpointError(f'{path}: {name}: expected shape {shape}, got {actual[name]}')


def _filled(path: Path, student: Student, tensors: Mapping[str, Tensor]) -> Student:
    """Return ``student`` with ``tensors``, whose shapes fit."""
    for name, tensor in tensors.items():
        if tensor.is_complex() or not torch.isfinite(tensor.float()).all():
            raise CheckpointError(f'{path}: {name} holds values that are not finite')
    student.load(tensors)
    return student
