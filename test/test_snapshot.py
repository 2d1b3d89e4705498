# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from shadowtutor_ros.snapshot import (
    array_of,
    BadSnapshot,
    number_from,
    tensor_from,
    text_array,
    text_from,
)


def test_what_is_kept_comes_back() -> None:
    tensor = torch.arange(6.0).view(2, 3)
    kept = {'t': array_of(tensor.T), 'n': np.array(7), 'x': np.array(0.5),
            's': text_array('robot \N{SNOWMAN}')}
    assert torch.equal(tensor_from(kept, 't', (3, 2)), tensor.T)
    assert number_from(kept, 'n') == 7
    assert number_from(kept, 'x', np.float64) == 0.5
    assert text_from(kept, 's') == 'robot \N{SNOWMAN}'


def test_a_tensor_that_comes_back_is_ones_own() -> None:
    kept = {'t': np.zeros(2, np.float32)}
    tensor_from(kept, 't', (2,)).fill_(1)
    assert kept['t'].tolist() == [0, 0]


@pytest.mark.parametrize(('array', 'message'), [
    (None, 't is missing'),
    (np.zeros((3, 2), np.float32), r't: expected shape \(2, 3\), got \(3, 2\)'),
    (np.zeros((2, 3)), 't: expected float32, got float64'),
    (np.full((2, 3), np.nan, np.float32), 't holds values that are not finite')])
def test_a_tensor_that_is_no_good_is_named(array: np.ndarray | None, message: str) -> None:
    with pytest.raises(BadSnapshot, match=message):
        tensor_from({} if array is None else {'t': array}, 't', (2, 3))


def test_a_number_and_a_text_that_are_no_good_are_named() -> None:
    with pytest.raises(BadSnapshot, match='n: expected one number, got 2'):
        number_from({'n': np.zeros(2, np.int64)}, 'n')
    with pytest.raises(BadSnapshot, match='s: expected UTF-8'):
        text_from({'s': np.full(3, 255, np.uint8)}, 's')
