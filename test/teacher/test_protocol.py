# SPDX-License-Identifier: Apache-2.0
"""A labelling, wherever its label map was made."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from shadowtutor_ros.teacher.protocol import Labelling

MAP = np.arange(6, dtype=np.uint8).reshape(2, 3)


@pytest.mark.parametrize('made', [MAP, torch.from_numpy(MAP)])
def test_a_label_map_is_an_array_here_and_a_tensor_where_it_is_wanted(
    made: np.ndarray | torch.Tensor,
) -> None:
    labelling = Labelling(made)
    np.testing.assert_array_equal(labelling.class_ids, MAP)
    assert labelling.class_ids.dtype == np.uint8
    there = labelling.class_ids_on('cpu')
    assert torch.equal(there, torch.from_numpy(MAP))
    assert there.dtype == torch.uint8
    assert labelling.class_ids_on('meta').device.type == 'meta'
    assert labelling.boxes.shape == (0, 4)
    assert labelling.scores.shape == (0,)


def test_an_array_that_torch_cannot_share_is_copied() -> None:
    assert torch.equal(Labelling(MAP[:, ::-1]).class_ids_on('cpu'),
                       torch.tensor([[2, 1, 0], [5, 4, 3]], dtype=torch.uint8))


def test_a_label_map_crosses_to_the_host_once() -> None:
    labelling = Labelling(torch.from_numpy(MAP))
    assert labelling.class_ids is labelling.class_ids
    assert labelling.class_ids_on('cpu') is labelling.label_map


def test_a_labelling_does_not_change_and_is_equal_to_itself_alone() -> None:
    labelling = Labelling(MAP)
    with pytest.raises(FrozenInstanceError):
        labelling.boxes = MAP  # type: ignore[misc,assignment]
    assert labelling in [labelling]
    assert labelling != Labelling(MAP)


def test_the_text_of_a_labelling_asks_no_device() -> None:
    elsewhere = Labelling(torch.zeros(2, 3, dtype=torch.uint8, device='meta'))
    assert 'label_map' not in repr(elsewhere)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_label_map_made_on_a_gpu_stays_there() -> None:
    made = torch.from_numpy(MAP).cuda()
    labelling = Labelling(made)
    assert labelling.class_ids_on('cuda').data_ptr() == made.data_ptr()
    np.testing.assert_array_equal(labelling.class_ids, MAP)
