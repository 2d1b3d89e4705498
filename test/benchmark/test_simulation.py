# SPDX-License-Identifier: Apache-2.0
"""What a fleet meets at a tutor, by service times: the product's scheduling in simulated time."""

from __future__ import annotations

from functools import cache
import random

import pytest
from simulation.events import Events, Shared, Stage
from simulation.fleet import jain, Period, Row, simulate
from simulation.scenarios import LOCK_STEP, MEASURED, TARGET, TARGETS
from simulation.scene import Scene, THRESHOLD, View

PERIOD = Period(join=5.0, steady=70.0, end=85.0)


@cache
def row(robots: int) -> Row:
    return simulate(TARGETS, robots, PERIOD)


def test_events_come_in_the_order_of_their_times() -> None:
    events, seen = Events(), []
    for name, seconds in (('late', 2.0), ('first', 1.0), ('second', 1.0), ('never', 9.0)):
        events.after(seconds, lambda name=name: seen.append((name, events.now)))
    events.run(5.0)
    assert seen == [('first', 1.0), ('second', 1.0), ('late', 2.0)]
    assert events.now == 5.0


@pytest.mark.parametrize(('capacity', 'later', 'ends'), [
    (1, [1.0], [2.0, 4.0, 5.0]),
    (2, [1.0, 1.5], [1.0, 3.5, 3.5, 4.0]),
    (9, [1.0], [1.0, 3.0, 3.0])])
def test_what_is_shared_gets_slower_for_all(
    capacity: int, later: list[float], ends: list[float],
) -> None:
    events, seen = Events(), []
    shared = Shared(events, capacity)

    def work(*seconds: float) -> None:
        for each in seconds:
            shared.work(each, lambda: seen.append(events.now))

    work(1.0, 3.0)
    events.after(2.0, lambda: work(*later))
    events.run(10.0)
    assert seen == pytest.approx(ends)
    assert shared.busy_seconds == pytest.approx((4.0 + sum(later)) / capacity)


def test_a_stage_takes_what_waits_up_to_its_batch() -> None:
    events, taken = Events(), []

    def work(jobs: list[int], done: object) -> None:
        taken.append((events.now, jobs))
        events.after(1.0, done)  # type: ignore[arg-type]

    stage: Stage[int] = Stage(1, work, batch=2)
    for number in range(4):
        stage.put(number)
    events.run(10.0)
    assert taken == [(0.0, [0]), (1.0, [1, 2]), (2.0, [3])]


def test_a_lesson_ends_at_the_threshold_or_its_limit() -> None:
    view = View(initial=0.5, best=0.9)
    steps, metric = view.lesson(100)
    assert metric >= THRESHOLD
    assert view.lesson(steps - 1)[1] < THRESHOLD
    assert view.lesson(0) == (0, 0.5)
    assert View(0.85, 0.9).lesson(16) == (0, 0.85)


def test_weights_get_worse_with_time_and_with_cuts() -> None:
    scene = Scene(random.Random(1), 0.0)
    scene.learn(0.0, 0.9)
    assert scene.view(0.0).initial == 0.9
    assert scene.view(1.0).initial < 0.9
    assert scene.view(1000.0).initial < 0.4


def test_fairness_is_jains() -> None:
    assert jain([2.0, 2.0]) == 1.0
    assert jain([1.0, 0.0, 0.0, 0.0]) == 0.25


def test_the_same_seed_is_the_same_fleet() -> None:
    period = Period(1.0, 600.0, 5.0, 10.0)
    assert simulate(TARGETS, 8, period) == simulate(TARGETS, 8, period)
    assert simulate(TARGETS, 8, period) != simulate(TARGETS, 8, period, seed=1)


def test_target_times_answer_a_key_frame_in_time() -> None:
    for steps, seconds in ((8, 0.035), (16, 0.045)):
        assert (TARGET.decode + TARGET.labelling(1) + TARGET.teaching(steps, cold=False)
                + TARGET.encoding(steps)) <= seconds


def test_measured_times_are_those_of_the_key_frames() -> None:
    def rest(steps: int) -> float:
        return (MEASURED.decode + MEASURED.encoding(steps)
                + (MEASURED.judge if steps else 0.0))

    assert rest(0) == pytest.approx(0.013)
    assert 0.043 <= rest(8) <= 0.050
    assert MEASURED.teaching(0, cold=False) == 0.008


def test_few_robots_have_all_steps_and_no_floor() -> None:
    few = row(4)
    assert (few.steps_share, few.failures) == (1.0, 0)
    assert few.turnaround_ms_p95 < 120


def test_sixty_four_robots_are_answered_within_a_quarter_of_a_second() -> None:
    crowd = row(64)
    assert crowd.turnaround_ms_p95 < 250
    assert crowd.key_frames_per_second >= 40
    assert crowd.fairness >= 0.95
    assert crowd.failures == 0


def test_two_hundred_robots_wait_for_their_turn_at_home() -> None:
    crowd, overload = row(64), row(200)
    assert overload.stride > 1.5 * crowd.stride
    assert overload.steps_share < 0.5  # and queues do not grow:
    assert overload.turnaround_ms_p95 < 250
    assert overload.failures == 0
    assert overload.fairness >= 0.95
    assert overload.longest_gap < 10.0


def test_one_at_a_time_is_what_it_was() -> None:
    few, many = (simulate(LOCK_STEP, robots, PERIOD) for robots in (2, 64))
    assert 100 < few.turnaround_ms_p50 < 300
    assert many.turnaround_ms_p50 > 3000
    assert many.key_frames_per_second < 10
