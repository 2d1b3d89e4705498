# SPDX-License-Identifier: Apache-2.0
"""What cameras and videos give and students look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shadowtutor_ros.errors import ShadowTutorError

Frame = NDArray[np.uint8]  # HxWx3, BGR


class BadFrame(ShadowTutorError, ValueError):
    """The array is not a BGR image of at least one pixel, or of a size that no network takes."""


def check_frame(frame: Frame) -> None:
    """Raise BadFrame unless ``frame`` is a BGR uint8 HxWx3 array with pixels."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
        raise BadFrame(f'expected a BGR uint8 image HxWx3 with H, W >= 1, '
                       f'got {frame.dtype} {frame.shape}')
