# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import heapq
import math

import pytest

from shadowtutor_ros.schedule.dealer import (
    ALONE,
    AUTO,
    BACK,
    Deal,
    Dealer,
    FRAMES,
    OWN,
    Pace,
    PIPELINE,
    WHOLE,
)


class Robot:
    """
    A robot with a camera that always has a frame, on a clock of its own, and its other devices.

    A device takes its ``Pace`` for a whole frame; the front is ``front`` of the own one's, the
    back the rest of the others'. ``masks`` are (time, frame, device).
    """

    def __init__(self, share: str, front: float = 0.4, own: float = 0.1,
                 **others: Pace) -> None:
        self.dealer = Dealer(share)
        self.now = 0.0
        self.front = front
        self.paces = {OWN: Pace(own), **others}
        self.masks: list[tuple[float, int, str]] = []
        self.lost: list[int] = []
        self.dead: set[str] = set()
        self._free = dict.fromkeys(self.paces, 0.0)
        self._events: list[tuple[float, int, str, int, str, float]] = []
        self._numbers = iter(range(1, 10 ** 6))
        for name in others:
            self.dealer.join(name)

    def run(self, until: float) -> None:
        while self.now < until:
            self.lost += self.dealer.overdue(self.now)
            if self.dealer.room_at(self.now) <= self.now:
                number = next(self._numbers)
                deal = self.dealer.deal(number, self.now)
                assert deal is not None
                self._work(number, deal)
                probe = next(self._numbers)
                if (deal := self.dealer.probe(probe, self.now)) is not None:
                    self._work(-probe, deal)
                continue
            at = min(self.dealer.room_at(self.now), self.now + 0.1, until)
            if self._events and self._events[0][0] <= at:
                self.now, number, step, size, name, service = heapq.heappop(self._events)
                if step == 'front':
                    self.dealer.front_done(size, service, self.now)
                elif name not in self.dead:
                    self.dealer.done(
                        name, size, service, self.paces[name].way, self.now)
                    if number > 0:
                        self.masks.append((self.now, number, name))
            else:
                self.now = at

    def rate(self, seconds: float) -> float:
        """Return the masks per second in the last ``seconds``."""
        return sum(at > self.now - seconds for at, *_ in self.masks) / seconds

    def _work(self, number: int, deal: Deal) -> None:
        pace = self.paces[deal.device]
        start, service = self.now + pace.way, pace.service
        if deal.kind == BACK:
            front = self.front * self.paces[OWN].service
            self._free[OWN] = max(self._free[OWN], self.now) + front
            heapq.heappush(self._events, (
                self._free[OWN], number, 'front', abs(number), deal.device, front))
            start = self._free[OWN] + pace.way
            service *= 1 - self.front
        done = self._free[deal.device] = max(self._free[deal.device], start) + service
        heapq.heappush(self._events, (
            done, number, 'mask', abs(number), deal.device, service))


def test_without_others_the_own_device_has_every_frame() -> None:
    robot = Robot(AUTO)
    robot.run(10)
    assert robot.rate(5) == pytest.approx(10, abs=0.3)
    assert {name for _, _, name in robot.masks} == {OWN}
    assert robot.dealer.doing == ALONE


@pytest.mark.parametrize(('others', 'rate'), [
    ({'a': Pace(0.1, 0.01)}, 20),
    ({'a': Pace(0.1, 0.01), 'b': Pace(0.2, 0.01), 'c': Pace(0.1, 0.05)}, 35),
    ({name: Pace(0.1, 0.02) for name in 'abcde'}, 60)])
def test_frames_go_to_all_as_fast_as_each_can(others: dict[str, Pace], rate: float) -> None:
    robot = Robot(FRAMES, **others)
    robot.run(20)
    assert robot.rate(10) == pytest.approx(rate, rel=0.05)
    assert robot.dealer.doing == FRAMES
    for share in robot.dealer.shares():
        assert share.frames == pytest.approx(20 / robot.paces[share.device].service, rel=0.1)
    assert robot.lost == []


@pytest.mark.parametrize('far', [Pace(0.1, 0.5), Pace(1.0, 0.01)])
def test_a_device_that_all_would_wait_for_is_only_measured(far: Pace) -> None:
    robot = Robot(FRAMES, far=far)
    robot.run(20)
    assert robot.dealer.doing == ALONE
    assert robot.rate(10) == pytest.approx(10, abs=0.3)
    assert robot.dealer.shares()[1].frames == 0
    robot.paces['far'] = Pace(0.1, 0.01)  # the link is better now
    robot.run(45)
    assert robot.rate(5) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(('others', 'rate'), [(1, 1 / 0.06), (2, 1 / 0.04), (3, 1 / 0.04)])
def test_a_pipeline_is_as_fast_as_its_slower_part(others: int, rate: float) -> None:
    robot = Robot(PIPELINE, **{name: Pace(0.1, 0.01) for name in 'abc'[:others]})
    robot.run(20)
    assert robot.dealer.doing == PIPELINE
    assert robot.rate(10) == pytest.approx(rate, rel=0.05)


@pytest.mark.parametrize(('front', 'others', 'doing'), [
    (0.4, 2, FRAMES), (0.05, 1, FRAMES), (0.4, 0, ALONE), (0.02, 3, FRAMES)])
def test_auto_takes_what_gives_more(front: float, others: int, doing: str) -> None:
    paces = {name: Pace(0.1, 0.01) for name in 'abc'[:others]}
    rates = {}
    for share in FRAMES, PIPELINE, AUTO:
        robot = Robot(share, front, **paces)
        robot.run(20)
        rates[share] = robot.rate(10)
    assert robot.dealer.doing == doing
    assert rates[AUTO] >= 0.9 * max(rates.values())


@pytest.mark.parametrize(('others', 'front', 'measured'), [
    ('abcd', 0.01, ''),  # five devices do more frames than any front alone
    ('ab', 0.05, 'a'),  # three do more than this one
    ('ab', 0.01, 'a'),  # two more devices' backs are slower than three devices' frames
    ('ab', 0.03, 'ab')])
def test_auto_measures_no_backs_that_cannot_pay(
    others: str, front: float, measured: str,
) -> None:
    dealer = Dealer(AUTO)
    for name in others:
        dealer.join(name)
    back = 0.09 if front == 0.01 else 0.05
    backs: set[str] = set()
    for number in range(1, 9):
        now = number * 30.0
        deal = dealer.deal(number, now)
        if deal is None or deal.kind == BACK:
            break  # all is measured
        dealer.done(deal.device, number, 0.1, 0.0, now + 0.1)
        while (probe := dealer.probe(-number, now + 1)) is not None:
            if probe.kind == BACK:
                backs.add(probe.device)
                dealer.front_done(-number, front, now + 1)
                dealer.done(probe.device, -number, back, 0.0, now + 2)
            else:
                dealer.done(probe.device, -number, 0.1, 0.0, now + 2)
    assert backs == set(measured)


def test_auto_pipelines_where_only_that_is_fast() -> None:
    """Frames are long on the way to where they are worked on, features are not."""
    dealer = Dealer(AUTO)
    dealer.join('a')
    number = 0
    for _ in range(6):
        number += 1
        now = number * 10.0
        deal = dealer.deal(number, now)
        assert deal is not None
        if deal.kind == BACK:
            dealer.front_done(number, 0.1, now + 0.1)
            dealer.done('a', number, 0.1, 0.01, now + 0.3)
        else:
            dealer.done(OWN, number, 1.0, 0.0, now + 1)
        while (probe := dealer.probe(-number, now + 1)) is not None:
            if probe.device == OWN:
                dealer.done(OWN, -number, 1.0, 0.0, now + 2)
                continue
            assert probe.device == 'a'
            if probe.kind == BACK:
                dealer.front_done(-number, 0.1, now + 1)
            dealer.done('a', -number, 0.1, {WHOLE: 3.0, BACK: 0.01}[probe.kind], now + 5)
    assert dealer.doing == PIPELINE
    assert dealer.deal(99, 1000.0) == Deal('a', BACK)


@pytest.mark.parametrize('share', [FRAMES, PIPELINE, AUTO])
def test_what_a_silent_device_had_is_dealt_again_within_a_second(share: str) -> None:
    robot = Robot(share, a=Pace(0.1, 0.01), b=Pace(0.1, 0.01))
    robot.run(10)
    before = robot.rate(5)
    robot.dead.add('a')
    robot.run(11)
    assert 1 <= len(robot.lost) <= 2  # those that it had
    assert [share.answers for share in robot.dealer.shares()] == [True, False, True]
    robot.run(16)
    alone = {FRAMES: 20, PIPELINE: 1 / 0.06, AUTO: 20}[share]
    assert robot.rate(4) == pytest.approx(alone, rel=0.06)
    assert len(robot.lost) <= 2  # it is given no more than copies
    robot.dead.clear()
    robot.run(17)  # half a second until it is asked, and its answer
    robot.run(19)
    assert robot.rate(1) == pytest.approx(before, rel=0.1)


def test_who_leaves_gives_its_frames_back_and_who_joins_is_measured_first() -> None:
    robot = Robot(FRAMES, a=Pace(0.1, 0.01))
    robot.run(5.05)
    had = robot.dealer.leave('a')
    assert 1 <= len(had) <= 2
    assert robot.dealer.leave('a') == []
    assert robot.dealer.doing == ALONE
    robot.dealer.done('a', had[0], 0.1, 0.01, robot.now)  # too late, and no harm
    robot.dealer.join('a')
    for number, seconds in (10 ** 7, 1.0), (10 ** 7 + 1, 0.1):  # the first one warms it up
        assert robot.dealer.probe(number, robot.now) == Deal('a')
        assert robot.dealer.probe(number + 2, robot.now) is None  # it is under way
        assert robot.dealer.shares()[1].pace is None
        robot.dealer.done('a', number, seconds, 0.01, robot.now)
    assert robot.dealer.shares()[1].pace == Pace(0.1, 0.01)
    assert robot.dealer.shares()[1].frames == 0
    assert robot.dealer.doing == FRAMES


def test_an_answer_that_is_no_good_measures_nothing_and_is_doubted() -> None:
    dealer = Dealer(FRAMES)
    dealer.join('a')
    assert dealer.deal(1, 0.0) == Deal(OWN)
    dealer.done(OWN, 1, 0.1, 0.0, 0.1)
    for number in 2, 3:
        assert dealer.shares()[1].answers == (number == 2)
        assert dealer.probe(number, number) == Deal('a')
        dealer.done('a', number, 0.0, 0.0, number + 0.1, good=False)
    assert dealer.doing == ALONE
    assert dealer.overdue(math.inf) == []


def test_nobody_has_room_until_an_answer_comes() -> None:
    dealer = Dealer(FRAMES)
    assert dealer.room_at(0.0) == 0.0
    assert dealer.deal(1, 0.0) == Deal(OWN)
    assert math.isinf(dealer.room_at(0.0))
    assert dealer.deal(2, 0.0) is None
    assert dealer.force(2, 0.0) == Deal(OWN)
    dealer.done(OWN, 1, 0.1, 0.0, 0.1)
    assert dealer.deal(3, 0.1) is None
    dealer.done(OWN, 2, 0.1, 0.0, 0.2)
    assert dealer.deal(3, 0.2) == Deal(OWN)


def test_a_way_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match='share: expected one of frames, pipeline, auto, got'):
        Dealer('off')
