# SPDX-License-Identifier: Apache-2.0
"""What docs/masks.md says of messages of masks is so."""

from __future__ import annotations

from pathlib import Path
import re
import struct
from typing import Any
import zlib

import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.tasks.segmentation.outlines import filled
from shadowtutor_ros.wire.images import runs_from_mask
from shadowtutor_ros.wire.messages import header_to_msg
from shadowtutor_ros.wire.polygon_messages import polygons_from_mask

pytestmark = pytest.mark.ros

PAGE = (Path(__file__).parents[1] / 'docs' / 'masks.md').read_text()
BLOCKS = re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL)


def test_the_lines_that_read_a_mask_do(scene: Scene) -> None:
    message = runs_from_mask(scene.labels[0], header_to_msg(1, 'camera'))
    names: dict[str, Any] = {'message': message}
    assert len(BLOCKS[0].splitlines()) == 2
    exec(BLOCKS[0], names)
    np.testing.assert_array_equal(names['mask'], scene.labels[0])


def test_the_lines_that_read_polygons_do(scene: Scene) -> None:
    message = polygons_from_mask(scene.labels[0], 8, header_to_msg(1, 'camera'))
    names: dict[str, Any] = {'message': message}
    assert len(BLOCKS[1].splitlines()) == 2
    exec(BLOCKS[1], names)
    np.testing.assert_array_equal(
        filled(names['outlines'], scene.labels[0].shape, message.background), scene.labels[0])


def test_run_lengths_are_as_other_languages_are_told(scene: Scene) -> None:
    data = runs_from_mask(scene.labels[0], header_to_msg(1, 'camera')).data.tobytes()
    height, width, count = struct.unpack('<III', data[:12])
    rest = zlib.decompress(data[12:])
    assert len(rest) == 5 * count
    pixels: list[int] = []
    for run in range(count):
        length = sum(rest[count * (place + 1) + run] << 8 * place for place in range(4))
        pixels += [rest[run]] * length
    np.testing.assert_array_equal(np.reshape(pixels, (height, width)), scene.labels[0])
