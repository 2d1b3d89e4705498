# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from shadowtutor_ros.upload import upload

FRAME = np.array([[[0, 51, 255], [102, 0, 0]]], np.uint8)


@pytest.mark.parametrize('frame', [FRAME, FRAME[:, ::-1]])
def test_an_array_is_there_as_it_is_here(frame: np.ndarray) -> None:
    there = upload(frame, 'cpu')
    assert there.dtype == torch.uint8
    np.testing.assert_array_equal(there.numpy(), frame)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_gpu_has_what_the_array_was() -> None:
    arrays = [np.full((720, 1280, 3), number, np.uint8) for number in range(20)]
    there = []
    for array in arrays:
        there.append(upload(array, 'cuda'))
        array[...] = 255  # while it travels
    assert [int(tensor.max()) for tensor in there] == list(range(20))
