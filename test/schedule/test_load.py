# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Iterable

from hypothesis import given, settings, strategies as st
import pytest

from shadowtutor_ros.schedule.load import (
    CALM_PERIOD,
    Effort,
    LEAST_SHARE,
    Load,
    LONGEST_PERIOD,
    MAX_STRIDE_FLOOR,
    steps_allowed,
    UTILISATION,
    Wish,
)

FRAME = 1 / 30
EAGER = Wish(FRAME, 8)
LIMIT = 16

Need = Callable[[str], int]


def effort_of(need: int, share: float, base: float = 0.02, step: float = 0.01) -> Effort:
    allowed = steps_allowed(LIMIT, share)
    return Effort(base, step, min(need, allowed), allowed, LIMIT)


class Desks:
    """A Load and robots that obey it, whose key frames are answered at once, all in a round."""

    def __init__(self, desks: int, wishes: dict[str, Wish], need: Need = lambda name: LIMIT,
                 **cost: float) -> None:
        self.load = Load(desks)
        self.wishes = wishes
        self.need = need
        self.cost = cost
        self.now = 0.0
        self.floors: dict[str, int] = {}
        self.shares: list[float] = []

    def run(self, rounds: int = 12) -> Desks:
        for _ in range(rounds):
            self.now += max([1.0, *(floor * FRAME for floor in self.floors.values())])
            self.shares.append(self.load.share(self.now))
            for name, wish in self.wishes.items():
                self.load.asked(name, wish, self.now)
                self.load.taught(name, effort_of(
                    self.need(name), self.shares[-1], **self.cost), self.now)
                self.floors[name] = self.load.stride_floor(name, self.now)
        return self

    def busy(self) -> float:
        """Return the desks that are busy if everybody asks as often as he may."""
        total = 0.0
        for name, wish in self.wishes.items():
            effort = effort_of(self.need(name), self.shares[-1], **self.cost)
            cost = effort.base + effort.step * effort.steps
            total += cost / (wish.frame_period * max(wish.stride, self.floors[name]))
        return total


def robots(count: int, wish: Wish = EAGER) -> dict[str, Wish]:
    return {f'robot {number}': wish for number in range(count)}


@pytest.mark.parametrize(('limit', 'share', 'allowed'), [
    (16, 1.0, 16), (16, 0.25, 4), (16, 0.26, 5), (64, 0.25, 16), (3, 0.25, 1), (1, 0.25, 1),
    (0, 0.25, 0), (0, 1.0, 0),
])
def test_a_share_leaves_at_least_one_step(limit: int, share: float, allowed: int) -> None:
    assert steps_allowed(limit, share) == allowed


def test_a_tutor_needs_a_desk() -> None:
    with pytest.raises(ValueError, match='expected 1 or more, got 0'):
        Load(0)


def test_nothing_is_limited_before_anything_is_known() -> None:
    load = Load(1)
    assert (load.share(0.0), load.stride_floor('nobody', 0.0)) == (1.0, 0)
    for name in robots(50):
        load.asked(name, EAGER, 1.0)
    assert (load.share(2.0), load.stride_floor('robot 1', 2.0)) == (1.0, 0)


@pytest.mark.parametrize('desks', [1, 3])
def test_as_many_robots_as_desks_are_never_limited(desks: int) -> None:
    run = Desks(desks, robots(desks), base=1.0, step=1.0).run()
    assert set(run.shares) == {1.0}
    assert set(run.floors.values()) == {0}


def test_room_for_all_wishes_limits_nobody() -> None:
    # 0.18 s every 32 frames: 8 robots take 1.35 of 2 desks.
    run = Desks(2, robots(8, Wish(FRAME, 32))).run()
    assert (run.shares[-1], set(run.floors.values())) == (1.0, {0})


def test_everybody_gets_the_same_period_first() -> None:
    run = Desks(2, robots(12)).run()  # 0.18 s each: 1.27 s between the key frames of each
    assert run.shares[-1] == 1.0
    assert set(run.floors.values()) == {39}
    assert run.busy() == pytest.approx(UTILISATION * 2, rel=0.05)


def test_lessons_get_shorter_before_anybody_waits_for_long() -> None:
    run = Desks(2, robots(22)).run()  # 16 steps leave 2.3 s between key frames, 13 leave 2
    assert steps_allowed(LIMIT, run.shares[-1]) == 13
    assert run.floors['robot 1'] * FRAME == pytest.approx(CALM_PERIOD, abs=0.1)


def test_and_then_periods_get_longer() -> None:
    run = Desks(2, robots(60)).run()
    assert run.shares[-1] == LEAST_SHARE
    assert len(set(run.floors.values())) == 1
    assert run.floors['robot 1'] * FRAME == pytest.approx(2.12, abs=FRAME)  # 0.06 s each
    assert run.busy() == pytest.approx(UTILISATION * 2, rel=0.05)


def test_a_robot_that_wishes_for_less_is_not_touched() -> None:
    calm = {f'calm {number}': Wish(FRAME, 640) for number in range(20)}
    run = Desks(2, calm | {'slow camera': Wish(0.5, 8)} | robots(40)).run()
    assert {run.floors[name] for name in (*calm, 'slow camera')} == {0}
    assert run.floors['robot 1'] > 8
    assert run.busy() == pytest.approx(UTILISATION * 2, rel=0.05)


def test_floors_are_one_period_whatever_the_frame_rate() -> None:
    wishes = robots(30) | {f'fast {k}': Wish(1 / 60, 8) for k in range(30)}
    run = Desks(2, wishes).run()
    assert run.floors['fast 1'] / 60 == pytest.approx(run.floors['robot 1'] / 30, abs=FRAME)


def test_a_floor_may_be_longer_than_any_stride_but_has_an_end() -> None:
    run = Desks(1, robots(200), base=0.1).run(20)
    assert run.floors['robot 1'] > 200
    endless = Desks(1, robots(200), base=60.0).run(20)
    assert endless.floors['robot 1'] * FRAME == pytest.approx(LONGEST_PERIOD, abs=FRAME)


def test_a_floor_at_most_doubles_the_last_distance_and_goes_at_once() -> None:
    run = Desks(1, robots(200), base=0.1)
    seen = []
    for _ in range(6):
        run.run(1)
        seen.append(run.floors['robot 1'])
    assert seen == [0, 60, 120, 240, 480, 960]  # the first decision knew nobody
    run.wishes = {'robot 1': EAGER}
    run.run(200)
    assert run.floors['robot 1'] == 0
    assert run.shares[-1] == 1.0


def test_a_crowd_that_comes_together_is_spread() -> None:
    load = Load(1)
    for now in range(1, 20, 2):
        for name in robots(30):
            load.asked(name, EAGER, now)
            load.taught(name, Effort(0.05, 0.0, 0, 16, 16), now)
        load.share(now)
    for name in robots(30):
        load.asked(name, EAGER, 30.0)
    floors = [load.stride_floor(name, 30.05 + 0.05 * number)
              for number, name in enumerate(robots(30))]
    assert floors[0] * FRAME == pytest.approx(30 * 0.05 / UTILISATION, abs=FRAME)
    assert floors == sorted(floors)
    assert floors[-1] - floors[0] == pytest.approx(29 * 0.05 / FRAME, abs=1)


def test_a_lesson_that_ends_before_its_limit_costs_what_it_needs() -> None:
    run = Desks(2, robots(20, Wish(FRAME, 32)), need=lambda name: 4).run()
    assert (run.shares[-1], set(run.floors.values())) == (1.0, {0})  # 1.13 desks


def test_needs_that_shares_hide_are_found_out_again() -> None:
    run = Desks(2, robots(24, Wish(FRAME, 32))).run()
    assert run.shares[-1] < 0.8
    run.need = lambda name: 2
    run.run(24)
    assert run.shares[-1] == 1.0


def test_what_robots_do_under_a_floor_is_not_what_they_want() -> None:
    """Nothing swings: the same wishes end in the same decision, however often robots ask."""
    run = Desks(2, robots(60)).run(30)
    floors, shares = dict(run.floors), run.shares[-1]
    for _ in range(20):
        run.run(1)
        run.now += 5.0
        assert (run.floors, run.shares[-1]) == (floors, shares)


def test_who_went_away_is_no_load() -> None:
    run = Desks(2, robots(60)).run()
    run.wishes = dict.fromkeys(('robot 1', 'robot 2', 'robot 3'), EAGER)
    run.run(40)
    assert run.shares[-1] == 1.0
    assert {run.floors[name] for name in run.wishes} == {10}  # 3 robots, 0.32 s each


def test_who_is_told_to_wait_for_long_is_not_away() -> None:
    run = Desks(1, robots(200), base=0.3).run(20)
    floor = run.floors['robot 1']
    assert floor * FRAME == pytest.approx(LONGEST_PERIOD, abs=FRAME)
    run.load.asked('robot 1', EAGER, run.now + LONGEST_PERIOD)
    assert run.load.stride_floor('robot 1', run.now + LONGEST_PERIOD) == floor
    run.load.asked('robot 1', EAGER, run.now + 4 * LONGEST_PERIOD)
    assert run.load.stride_floor('robot 1', run.now + 4 * LONGEST_PERIOD) == 0


def test_a_stream_that_lost_its_place_is_forgotten() -> None:
    run = Desks(1, robots(2), base=1.0).run()
    assert run.floors['robot 1'] > 0
    run.load.forget('robot 0')
    run.load.forget('robot 0')
    run.load.taught('robot 0', effort_of(1, 1.0), run.now)
    assert run.load.stride_floor('robot 0', run.now) == 0
    assert run.load.stride_floor('robot 1', run.now + 1.0) == 0


def test_a_robot_that_does_not_say_what_it_wants_is_taken_as_it_does() -> None:
    # Once a second each, which leaves room; every 8 frames would not.
    run = Desks(1, robots(10, Wish()) | {'eager': EAGER}, base=0.03, step=0.0).run(30)
    assert run.shares[-1] == 1.0
    assert set(run.floors.values()) == {0}


def test_nobody_is_told_frames_before_his_frame_rate_is_known() -> None:
    run = Desks(1, robots(50)).run()
    assert run.floors['robot 1'] > 0
    run.load.asked('new', Wish(0.0, 8), run.now)
    assert run.load.stride_floor('new', run.now) == 0


def test_cold_lessons_do_not_keep_floors_long() -> None:
    load, now, floors = Load(2), 0.0, [0]
    for limit, step in [(64, 0.1)] * 8 + [(16, 0.01)] * 2:
        now += max(1.0, floors[-1] * FRAME)
        for name in robots(30):
            load.asked(name, EAGER, now)
            allowed = steps_allowed(limit, load.share(now))
            load.taught(name, Effort(0.02, step, allowed, allowed, limit), now)
        floors.append(max([load.stride_floor(name, now) for name in robots(30)]))
    assert max(floors) > 800  # 1.62 s each
    assert floors[-1] * FRAME <= CALM_PERIOD + FRAME


def test_one_robot_alone_occupies_one_desk_at_most() -> None:
    """A beginner's long lessons are no reason to shorten all others where desks are left."""
    wishes = robots(4, Wish(FRAME, 64)) | {'beginner': EAGER}
    load = Load(4)
    for now in range(12):
        for name, wish in wishes.items():
            load.asked(name, wish, float(now))
            load.taught(name, Effort(0.02, 0.01, 16, 16, 16) if name != 'beginner' else
                        Effort(0.02, 0.05, 64, 64, 64), float(now))
    assert (load.share(12.0), load.stride_floor('beginner', 12.0)) == (1.0, 0)


wishes = st.builds(Wish, st.sampled_from([0.0, 1e-30, 0.01, FRAME, 1.0, 1e30]),
                   st.integers(0, 2**32 - 1))
efforts = st.builds(Effort, st.floats(0, 1e3), st.floats(0, 1e2), st.integers(0, 64),
                    st.integers(0, 64), st.integers(0, 64))
events = st.lists(st.tuples(
    st.sampled_from(['a', 'b', 'c', 'd']), wishes, efforts, st.floats(0, 100)))


@given(st.integers(1, 3), events)
@settings(deadline=None)
def test_every_decision_is_within_the_limits(
    desks: int, trace: Iterable[tuple[str, Wish, Effort, float]],
) -> None:
    load, now = Load(desks), 0.0
    for name, wish, effort, seconds in trace:
        now += seconds
        load.asked(name, wish, now)
        load.taught(name, effort, now)
        assert LEAST_SHARE <= load.share(now) <= 1.0
        assert 0 <= load.stride_floor(name, now) <= MAX_STRIDE_FLOOR
