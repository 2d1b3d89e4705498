# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
import hashlib
import os
from pathlib import Path
import pickle
from typing import Any

import pytest
import torch
from torch import nn

from shadowtutor_ros.teacher.protocol import TeacherError, TeacherUnavailable
from shadowtutor_ros.teacher.weights import file_version, load_weights


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, ('evil',)


def network(seed: int = 0, width: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(width, 2), nn.BatchNorm1d(2))


def arrays(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in state.items()}


STATE = network(1).state_dict()
SAVED = 'expected a state dict and nothing else in it, got a damaged or another file'


def save(path: Path, content: object) -> Path:
    if path.suffix == '.pkl':
        path.write_bytes(pickle.dumps(content, 4))
    else:
        torch.save(content, path)
    return path


@pytest.mark.parametrize(('name', 'content'), [
    ('plain.pth', STATE), ('plain.pkl', arrays(STATE)),
    ('checkpoint.pth', {'model': STATE, 'iteration': 3}),
    ('zoo.pkl', {'model': arrays(STATE), '__author__': 'Detectron2 Model Zoo'}),
    ('more.pth', {**STATE, 'pixel_mean': torch.zeros(3)}),
])
def test_a_state_dict_fills_the_network(tmp_path: Path, name: str, content: object) -> None:
    filled = network()
    load_weights(filled, save(tmp_path / name, content))
    for key, tensor in filled.state_dict().items():
        assert torch.equal(tensor, STATE[key])


@pytest.mark.parametrize(('name', 'content', 'message'), [
    ('evil.pth', {'model': Evil()}, SAVED), ('evil.pkl', {'model': Evil()}, 'names posix.mkdir'),
    ('module.pth', network(), SAVED), ('list.pth', [1], 'expected a state dict, got list'),
    ('key.pth', {'model': 3}, 'expected a state dict, got int'),
    ('none.pth', {}, "expected the 7 weights of Sequential, 7 are missing, for example '0.bias'"),
    ('less.pth', {key: STATE[key] for key in STATE if key != '1.weight'}, '1 are missing'),
    ('wide.pth', network(width=4).state_dict(),
     r'0\.weight: expected the shape \(2, 3\), got \(2, 4\)'),
])
def test_another_file_is_named_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: object, message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = network()
    with pytest.raises(TeacherError, match=f'{name}: .*{message}') as error:
        load_weights(before, save(tmp_path / name, content))
    assert 'weights_only' not in str(error.value)  # torch advises to turn it off
    assert not Path('evil').exists()
    assert torch.equal(before.state_dict()['0.weight'], network().state_dict()['0.weight'])


@pytest.mark.parametrize('name', ['a.pth', 'a.pkl'])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, {'model': arrays(STATE)} if name == 'a.pkl' else STATE)
    good = path.read_bytes()
    for cut in (0, 10, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:cut])
        with pytest.raises(TeacherError, match=f'{name}: {SAVED}'):
            load_weights(network(), path)


@pytest.mark.filterwarnings('ignore:.*torch.jit:DeprecationWarning',
                            'ignore:.*TorchScript archive:UserWarning')
def test_torchscript_which_is_a_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'script.pth'
    torch.jit.script(network()).save(str(path))
    with pytest.raises(TeacherError, match=SAVED):
        load_weights(network(), path)


@pytest.mark.parametrize('make', [lambda path: None, Path.mkdir])
def test_a_missing_file_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / 'a.pth')
    with pytest.raises(TeacherUnavailable, match=r'a\.pth: no such weight file'):
        load_weights(network(), tmp_path / 'a.pth')


def test_the_version_is_the_contents(tmp_path: Path) -> None:
    path = tmp_path / 'a'
    path.write_bytes(b'weights' * 400_000)
    assert file_version(path) == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
