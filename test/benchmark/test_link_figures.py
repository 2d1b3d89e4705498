# SPDX-License-Identifier: Apache-2.0
from link_figures import ended, fill_in, held_miou, percentiles, Row, table
from link_grid import Ask, BURST, full, LOSS, MIOU, OUTAGE, quick
import numpy as np
import pytest


def status(time: float, key_frames: int, updates: int, failures: int, turnaround: float,
           training: float = 30.0) -> dict[str, float]:
    return {'time': time, 'key_frames': key_frames, 'updates_applied': updates,
            'failures': failures, 'bytes_up': 1000 * key_frames, 'bytes_down': 500 * updates,
            'turnaround_ms': turnaround, 'queue_ms': 1.0, 'teacher_ms': 9.0,
            'training_ms': training}


NAN = float('nan')
STATUSES = [status(10, 0, 0, 0, NAN, NAN), status(11, 1, 0, 0, NAN, NAN),
            status(12, 1, 1, 0, 100), status(13, 2, 1, 0, 100), status(14, 2, 1, 0, 100),
            status(23, 2, 1, 1, 10_000), status(24, 3, 1, 1, 10_000),
            status(25, 3, 2, 1, 300, 50), status(26, 4, 2, 1, 300, 50)]


def test_a_row_of_answered_and_failed_key_frames() -> None:
    row = Row(LOSS, 5, None, 'none')
    fill_in(row, STATUSES, 10_000)
    assert (row.key_frames, row.failed) == (3, 1)  # the fourth is under way
    assert (row.turnaround_ms_p50, row.turnaround_ms_max) == (200, 300)
    assert row.turnaround_ms_p95 == pytest.approx(290)
    assert (row.link_ms_p50, row.link_ms_max) == (150, 240)
    assert (row.payload_bytes_up, row.payload_bytes_down) == (4000, 1000)
    assert (row.wire_bytes, row.wire_per_payload, row.seconds) == (10_000, 2.0, 15)


def test_nothing_that_came_is_no_number() -> None:
    row = Row(LOSS, 20, 2.0, 'none')
    fill_in(row, [], 5)
    fill_in(row, STATUSES[:1], 5)
    assert (row.key_frames, row.turnaround_ms_p50, row.wire_per_payload) == (0, None, None)
    assert '| - |' in table([row])


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles([7.0]) == {'p50': 7, 'p95': 7, 'max': 7}
    assert percentiles([float(n) for n in range(101)]) == {'p50': 50, 'p95': 95, 'max': 100}


def test_updates_and_failures_end_key_frames() -> None:
    assert [ended(s) for s in STATUSES] == [0, 0, 1, 1, 1, 2, 2, 3, 3]


def test_the_last_mask_is_held() -> None:
    left, right = np.array([[0, 1]], np.uint8), np.array([[1, 0]], np.uint8)
    background = np.array([[1, 1]], np.uint8)
    labels = [background, left, left, right]
    # Before the first mask: background is right; then left twice; then left is held over right.
    assert held_miou({1: left}, lambda i: labels[i], 4, 1) == pytest.approx((1 + 1 + 1 + 0) / 4)
    assert held_miou({1: left, 3: right}, lambda i: labels[i], 4, 1) == 1


def test_the_table_has_a_cell_for_every_column() -> None:
    row = Row(LOSS, 5, 8.0, 'none', miou=0.5, note='slow')
    fill_in(row, STATUSES, 10_000)
    lines = table([row]).splitlines()
    assert len({line.count('|') for line in lines}) == 1
    assert '| 5 % | 8 | none | 3 | 1 | 200 / 290 / 300 | 150 / 231 / 240 |' in lines[2]
    assert '| 50.0 | slow |' in lines[2]


@pytest.mark.parametrize(('rate', 'queue'), [(None, None), (40.0, 500_000), (2.0, 64_000)])
def test_the_queue_is_a_tenth_of_a_second_or_64_kb(rate: float | None, queue: int | None) -> None:
    assert Ask(LOSS, 0, rate, 'none', 1, 1).queue == queue
    assert Ask(LOSS, 0, rate, 'none', 1, 1, 10).queue == (None if rate is None else 10)


def test_the_grids() -> None:
    few = quick(('none', 'fastdds-mtu'))
    assert len(few) == 8
    assert {ask.kind for ask in few} == {LOSS, BURST, OUTAGE}
    everything = full(('none',))
    assert {(ask.loss, ask.rate) for ask in everything if ask.kind == LOSS} == {
        (loss, rate) for loss in (0, 1, 5, 10, 20) for rate in (None, 40, 8, 2)}
    assert {ask.key_frames for ask in everything if ask.kind == LOSS and ask.loss == 5} == {200}
    assert {ask.kind for ask in everything} == {LOSS, BURST, OUTAGE, MIOU}
