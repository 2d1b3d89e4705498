# SPDX-License-Identifier: Apache-2.0
import math
from types import SimpleNamespace

from shadowtutor_ros.monitor.rates import RateMeter, Rates


def status(frames: int, up: int = 0, down: int = 0, dropped: int = 0) -> SimpleNamespace:
    return SimpleNamespace(
        frames_processed=frames, frames_dropped=dropped, bytes_up=up, bytes_down=down)


def meter_of(*seen: tuple[float, SimpleNamespace]) -> Rates:
    meter = RateMeter()
    for now, counters in seen:
        meter.add(counters, now)
    return meter.rates()


def test_rates_are_differences_of_counters_over_time() -> None:
    rates = meter_of((0.0, status(0)), (10.0, status(100, 1000, 0, 3)),
                     (12.0, status(150, 6000, 500, 4)))
    assert rates == Rates(25.0, 0.5, 20.0, 2.0)


def test_the_first_status_may_be_an_old_one_and_does_not_count() -> None:
    assert math.isnan(meter_of((10.0, status(100)), (10.1, status(125))).fps)
    assert meter_of((10.0, status(100)), (10.1, status(125)), (11.1, status(150))).fps == 25.0


def test_two_statuses_at_once_are_no_rate() -> None:
    rates = meter_of((9.0, status(0)), (10.0, status(100)), (10.01, status(101)))
    assert all(map(math.isnan, (rates.fps, rates.dropped, rates.up, rates.down)))


def test_only_the_last_seconds_count() -> None:
    still = [(float(second), status(1000)) for second in range(20)]
    assert meter_of(*still, (20.0, status(1050))).fps == 10.0
    assert meter_of(*still, *((20.0 + n, status(1000 + 8 * n)) for n in range(9))).fps == 8.0


def test_a_node_that_started_again_is_measured_anew() -> None:
    before = [(float(second), status(100 * second)) for second in range(5)]
    assert math.isnan(meter_of(*before, (5.0, status(2))).fps)
    assert meter_of(*before, (5.0, status(2)), (6.0, status(14))).fps == 12.0
