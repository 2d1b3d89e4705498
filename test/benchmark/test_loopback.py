# SPDX-License-Identifier: Apache-2.0
"""Key frames of two robots while the CPUs have more to do than they can."""

from pathlib import Path

from loopback import run
import pytest

pytestmark = pytest.mark.ros


def test_every_key_frame_is_answered_once(tmp_path: Path) -> None:
    counts = run(60, 2, 2, tmp_path, 120.0)
    assert [(count.lost, count.rejected, count.failures) for count in counts] == [(0, 0, 0)] * 2
    assert [count.least_quality for count in counts] == [80, 80]
