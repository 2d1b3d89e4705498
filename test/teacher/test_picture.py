# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch

from shadowtutor_ros.teacher.picture import picture_on, rgb

BGR = np.array([[[0, 51, 255], [102, 0, 0]]], np.uint8)


@pytest.mark.parametrize('frame', [BGR, BGR[:, ::-1][:, ::-1]])
def test_a_frame_travels_as_bytes_and_becomes_rgb_where_it_is(frame: np.ndarray) -> None:
    picture = picture_on('cpu', frame)
    assert picture.dtype == torch.uint8
    np.testing.assert_array_equal(picture.numpy(), BGR)
    torch.testing.assert_close(rgb(picture), torch.tensor([[[1, 0]], [[0.2, 0]], [[0, 0.4]]]))


def test_a_frame_that_torch_cannot_share_is_copied() -> None:
    np.testing.assert_array_equal(picture_on('cpu', BGR[..., ::-1]).numpy(), BGR[..., ::-1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_frame_arrives_on_a_gpu() -> None:
    np.testing.assert_array_equal(picture_on('cuda', BGR).cpu().numpy(), BGR)
