# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: exact round trip, import of the authors' names, refusal of anything else."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

from full_disk import full_disk
import pytest
from safetensors.torch import save_file
from small_net import SmallNet
import torch
from torch import Tensor

from shadowtutor_ros.model.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from shadowtutor_ros.model.groups import FULL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.model.table import ARCHITECTURES
from shadowtutor_ros.whole_file import CannotWrite

INFO = StudentInfo(
    ('person', 'tram', 'background'), ((255, 0, 0), (0, 255, 1), (0, 0, 0)),
    (1.5, 2.25, 103.53), (0.5, 1.0, 57.375))
METADATA = {
    'class_names': list(INFO.class_names), 'class_colours': [], 'mean': [1, 2, 3],
    'std': [1, 1, 1]}


def _tensors() -> dict[str, Tensor]:
    weights = Student.random(INFO, 5).weights(FULL)
    return {name: t.contiguous().clone() for name, t in weights.items()}


def _same(student: Student, tensors: dict[str, Tensor]) -> bool:
    own = student.weights(FULL)
    return own.keys() == tensors.keys() and all(torch.equal(own[n], tensors[n]) for n in own)


def _authors_name(name: str, short: str) -> str:
    """Rename as in the authors' published network: enc1-3 and dec1-3 with *_path inside."""
    for own, theirs in (('sb1', 'enc1'), ('sb2', 'enc2'), ('sb3', 'enc3'), ('sb4', 'dec1'),
                        ('sb5', 'dec2'), ('sb6', 'dec3'), ('.pre.', '.preact_path.'),
                        ('.long.', '.long_path.'), ('.short.', short)):
        name = name.replace(own, theirs)
    return name


def test_round_trip_is_exact(tmp_path: Path) -> None:
    student = Student.random(INFO, 5)
    first, second = tmp_path / 'a.safetensors', tmp_path / 'b.safetensors'
    save_checkpoint(student, first)
    loaded = load_checkpoint(first)
    assert loaded.info == INFO
    assert _same(loaded, _tensors())
    save_checkpoint(loaded, second)
    assert first.read_bytes() == second.read_bytes()


def test_architecture_and_configuration_stand_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ARCHITECTURES, 'small', SmallNet)
    path = tmp_path / 'a.safetensors'
    info = replace(INFO, architecture='small', configuration={'width': 5, 'sharp': True})
    save_checkpoint(Student.random(info, 5), path)
    loaded = load_checkpoint(path, INFO)  # the file knows better
    assert loaded.info == info
    assert isinstance(loaded.network, SmallNet)
    assert (len(loaded.network.stem.bias), loaded.network.sharp) == (5, True)


def test_a_file_of_the_first_releases_is_the_papers_student(tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    save_file(_tensors(), path, {'shadowtutor_student': json.dumps(METADATA)})
    info = load_checkpoint(path).info
    assert (info.task, info.architecture, info.configuration) == (
        'segmentation', 'shadowtutor', {})


@pytest.mark.parametrize(('field', 'value', 'message'), [
    ('task', 'depth', "task: expected one of segmentation, detection, got 'depth'"),
    ('architecture', 'vit',
     "architecture: expected one of shadowtutor, shadowtutor-boxes, got 'vit'"),
    ('configuration', {'width': 3}, "unexpected keyword argument 'width'"),
    ('configuration', [1, 2], "bad 'shadowtutor_student' metadata"),
    ('configuration', {'text': 'x' * 5000}, 'at most 4096 bytes'),
    ('architecture', ['shadowtutor'],
     'architecture: expected one of shadowtutor, shadowtutor-boxes, got'),
])
def test_a_file_for_another_release_is_refused(
    tmp_path: Path, field: str, value: object, message: str,
) -> None:
    path = tmp_path / 'a.safetensors'
    metadata = {'shadowtutor_student': json.dumps({**METADATA, field: value})}
    save_file(_tensors(), path, metadata)
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)


def test_expected_classes_are_checked(tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    save_checkpoint(Student.random(INFO, 5), path)
    same_names = StudentInfo(INFO.class_names)
    assert load_checkpoint(path, same_names).info == INFO
    with pytest.raises(CheckpointError, match='expected classes'):
        load_checkpoint(path, StudentInfo(('tram', 'person', 'background')))


@pytest.mark.parametrize('suffix', ['.pth', '.pt'])
@pytest.mark.parametrize('wrapped', [False, True])
def test_own_names_load_from_torch_files(tmp_path: Path, suffix: str, wrapped: bool) -> None:
    path = tmp_path / f'a{suffix}'
    torch.save({'state_dict': _tensors(), 'epoch': 30} if wrapped else _tensors(), path)
    loaded = load_checkpoint(path, INFO)
    assert loaded.info == INFO
    assert _same(loaded, _tensors())


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize('short', ['.short_path.', '.short_path.0.'])
def test_authors_names_are_translated(tmp_path: Path, short: str, prefix: str) -> None:
    path, tensors = tmp_path / 'authors.pth', _tensors()
    theirs = {prefix + _authors_name(name, short): t for name, t in tensors.items()}
    assert prefix + 'enc1.preact_path.0.weight' in theirs
    assert prefix + 'dec3.long_path.3.bias' in theirs
    torch.save(theirs, path)
    assert _same(load_checkpoint(path, INFO), tensors)


def test_torch_file_needs_the_classes(tmp_path: Path) -> None:
    torch.save(_tensors(), tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match='no class names'):
        load_checkpoint(tmp_path / 'a.pth')


class _Touch:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_torch_file_is_not_run(tmp_path: Path) -> None:
    witness, path = tmp_path / 'witness', tmp_path / 'evil.pth'
    torch.save({**_tensors(), 'evil': _Touch(witness)}, path)
    with pytest.raises(CheckpointError, match='weights-only'):
        load_checkpoint(path, INFO)
    assert not witness.exists()
    torch.load(path, weights_only=False)  # the file is armed: without the guard it does run
    assert witness.exists()


@pytest.mark.parametrize('name', ['gone.safetensors', 'gone.pth', '.'])
def test_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match='no such student checkpoint'):
        load_checkpoint(tmp_path / name, INFO)


@pytest.mark.parametrize('name', ['a.onnx', 'a'])
def test_unknown_kind_of_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b'x')
    with pytest.raises(CheckpointError, match=r'expected \.safetensors'):
        load_checkpoint(tmp_path / name, INFO)


@pytest.mark.parametrize('content', [
    b'', b'.', b'(', b'PK\x03\x04', b'\x80\x02K\x01.', b'\x80\x02h\x07.', b'\xff' * 64])
@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_damaged_file_is_a_checkpoint_error(
    tmp_path: Path, suffix: str, content: bytes,
) -> None:
    path = tmp_path / f'a{suffix}'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=str(path.name)):
        load_checkpoint(path, INFO)


@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
@pytest.mark.parametrize('keep', [0.5, 0.999])
def test_truncated_file_is_a_checkpoint_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f'a{suffix}'
    if suffix == '.pth':
        torch.save(_tensors(), path)
    else:
        save_checkpoint(Student.random(INFO, 5), path)
    path.write_bytes(path.read_bytes()[:int(keep * path.stat().st_size)])
    with pytest.raises(CheckpointError, match=r'not a'):
        load_checkpoint(path, INFO)


@pytest.mark.parametrize('content', [[1], torch.zeros(3), None, {0: torch.zeros(3)}, {}])
def test_torch_file_without_a_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'expected a state dict|are missing'):
        load_checkpoint(tmp_path / 'a.pth', INFO)


@pytest.mark.parametrize(('change', 'message'), [
    ({'sb3.short.bias': None}, "1 of 68 parameters are missing, for example 'sb3.short.bias'"),
    ({'sb3.other': torch.zeros(1)}, "1 unknown parameters, for example 'sb3.other'"),
    ({'out_conv3.bias': torch.zeros(9)}, r'out_conv3.bias: expected shape \(3,\), got \(9,\)'),
    ({'out_conv3.bias': torch.tensor([0, float('nan'), 0])}, 'out_conv3.bias holds'),
    ({'out_conv3.bias': torch.tensor([0, float('-inf'), 0])}, 'out_conv3.bias holds'),
], ids=['missing', 'extra', 'shape', 'nan', 'inf'])
@pytest.mark.parametrize('suffix', ['.safetensors', '.pth'])
def test_other_parameters_are_refused(
    tmp_path: Path, suffix: str, change: dict[str, Tensor | None], message: str,
) -> None:
    path = tmp_path / f'a{suffix}'
    tensors = {n: t for n, t in {**_tensors(), **change}.items() if t is not None}
    if suffix == '.pth':
        torch.save(tensors, path)
    else:
        save_file(tensors, path, {'shadowtutor_student': json.dumps(METADATA)})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path, INFO)


@pytest.mark.parametrize('metadata', [
    None, 'no json', '[]', '{}',
    json.dumps({**METADATA, 'mean': 3}),
    json.dumps({**METADATA, 'mean': [1, 2]}),
    json.dumps({**METADATA, 'class_names': []}),
    json.dumps({**METADATA, 'class_names': ['x'] * 300}),
], ids=['none', 'no json', 'list', 'empty', 'number', 'mean', 'no class', 'many'])
def test_safetensors_of_somebody_else_are_refused(tmp_path: Path, metadata: str | None) -> None:
    path = tmp_path / 'a.safetensors'
    save_file(_tensors(), path, metadata and {'shadowtutor_student': metadata})
    with pytest.raises(CheckpointError, match="'shadowtutor_student' metadata"):
        load_checkpoint(path)


def test_a_file_may_have_half_precision_and_is_replaced_whole(
    tmp_path: Path, info: StudentInfo,
) -> None:
    path, student = tmp_path / 'a.safetensors', Student.random(info, 0)
    save_checkpoint(student, path)
    whole = path.stat().st_size
    save_checkpoint(student, path, torch.float16)
    assert path.stat().st_size < 0.55 * whole
    assert list(tmp_path.iterdir()) == [path]
    weights = load_checkpoint(path).weights(FULL)
    for name, tensor in student.weights(FULL).items():
        assert weights[name].dtype == torch.float32
        assert torch.equal(weights[name], tensor.half().float())


def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / 'a.safetensors'
    save_checkpoint(Student.random(INFO, 5), path)
    with full_disk(100_000), pytest.raises(CannotWrite, match=r'a\.safetensors: cannot'):
        save_checkpoint(Student.random(INFO, 6), path)
    assert _same(load_checkpoint(path), _tensors())
    assert list(tmp_path.iterdir()) == [path]
