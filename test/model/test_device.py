# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from shadowtutor_ros.model.device import is_broken, pick_device


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
