# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import torch

from shadowtutor_ros.model.device import free_memory, is_broken, pick_device


def test_auto_is_what_the_machine_has() -> None:
    expected = 'cuda' if torch.cuda.is_available() else 'cpu'
    assert pick_device('auto').type == expected
    assert pick_device('cpu') == torch.device('cpu')


@pytest.mark.parametrize(('name', 'message'), [
    ('gpu', "expected auto, cpu, cuda or cuda:N, got 'gpu'"),
    ('cuda:99', "'cuda:99': this machine has"),
])
def test_what_is_not_there_is_named(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pick_device(name)


@pytest.mark.parametrize(('error', 'broken'), [
    (RuntimeError('CUDA error: an illegal memory access was encountered'), True),
    (torch.AcceleratorError('unspecified launch failure'), True),
    (torch.OutOfMemoryError('CUDA out of memory'), False),  # a smaller picture may do
    (RuntimeError('mat1 and mat2 shapes cannot be multiplied'), False),
    (ValueError('CUDA error'), False)])
def test_a_device_that_is_broken_is_told_from_what_one_picture_did(
    error: Exception, broken: bool,
) -> None:
    assert is_broken(error) == broken


def test_the_hosts_free_memory_is_what_it_can_give_and_not_what_lies_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux fills its memory with files that it lets go of when somebody wants it."""
    meminfo = tmp_path / 'meminfo'
    meminfo.write_text('MemTotal:  8000000 kB\nMemFree:  200000 kB\nMemAvailable:  6000000 kB\n')
    monkeypatch.setattr('shadowtutor_ros.model.device._MEMINFO', meminfo, raising=False)
    assert free_memory(torch.device('cpu')) == 6_000_000 * 1024
    meminfo.unlink()  # on other systems
    assert free_memory(torch.device('cpu')) > 0
