# SPDX-License-Identifier: Apache-2.0
"""A frame's way to the device of a teacher."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from shadowtutor_ros.frame import Frame


def picture_on(device: str | torch.device, frame: Frame) -> Tensor:
    """Return a BGR uint8 HxWx3 frame on ``device``, as bytes; a GPU fetches it when it comes."""
    picture = torch.from_numpy(np.ascontiguousarray(frame))
    if torch.device(device).type == 'cuda':
        picture = picture.pin_memory()
    return picture.to(device, non_blocking=True)


def rgb(picture: Tensor) -> Tensor:
    """Return a BGR uint8 HxWx3 picture as 3xHxW RGB, 0-1, where it is."""
    return picture.flip(2).permute(2, 0, 1).float() / 255
