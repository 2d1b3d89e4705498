# SPDX-License-Identifier: Apache-2.0
import torch

from shadowtutor_ros.teacher.picture import rgb


def test_a_frame_becomes_rgb_planes() -> None:
    frame = torch.tensor([[[0, 51, 255], [102, 0, 0]]], dtype=torch.uint8)
    torch.testing.assert_close(rgb(frame), torch.tensor([[[1, 0]], [[0.2, 0]], [[0, 0.4]]]))
