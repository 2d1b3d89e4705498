# SPDX-License-Identifier: Apache-2.0
"""Rounds of robots become rows."""

from __future__ import annotations

import math

from fleet_robots import Request
from fleet_rows import jain, Round, row_of
import pytest

from shadowtutor_ros.wire.update import StudentUpdate


def test_jains_index() -> None:
    assert jain([2.0, 2.0, 2.0]) == pytest.approx(1)
    assert jain([1.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)


def test_rounds_become_a_row() -> None:
    def one(*turnarounds: float) -> Round:
        reply = StudentUpdate('a', 1, 0, '', 0, 'partial', 1, 0, 1, None, steps=4)  # type: ignore
        return Round(2.0, [Request(1.0, 1.0 + t, reply) for t in turnarounds],
                           [1.0, 3.0], [8.0], [0.5], 1, 0, 0.1, 50.0)

    row = row_of(2, [one(0.1, 0.3), one(0.2, 0.2, 0.2, 0.2)])
    assert (row.key_frames_per_second, row.rounds, row.key_frames) == (1.5, [1.0, 2.0], 6)
    assert row.turnaround_ms_p50 == pytest.approx(200)
    assert (row.fairness, row.staleness_s) == (pytest.approx(0.8), 2.0)
    assert (row.steps_per_key_frame, row.refused, row.gpu_utilisation) == (4, 2, 50.0)
    assert math.isnan(row_of(2, [one()]).turnaround_ms_p50)
