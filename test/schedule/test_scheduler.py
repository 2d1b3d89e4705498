# SPDX-License-Identifier: Apache-2.0
"""Algorithm 4: the same key frames as the paper's text, and what it does not say about failure."""

from __future__ import annotations

from collections.abc import Callable
import random

from hypothesis import given, settings, strategies as st
import pytest

from shadowtutor_ros.schedule.scheduler import LIVE, PACED, Scheduler, ScheduleSettings, Take
from shadowtutor_ros.schedule.stride import next_stride

NEVER = 10**9
FRAMES = 400

Delays = Callable[[int], int]  # key frame's count -> frames until its update is here


def _algorithm_4(
    frames: int, metrics: list[float], delays: Delays, wait_at: int | None,
    min_stride: int = 8, max_stride: int = 64, threshold: float = 0.8,
) -> list[int]:
    """
    Transcribe the paper's client line by line and return the key frames' indices.

    ``wait_at`` is line 15's MIN_STRIDE; None leaves the wait out, and then a key frame needs
    the answer to the one before. The stride is not a whole number, so line 6 is ``>=``.
    """
    key_frames: list[int] = []
    stride: float = min_stride
    step = min_stride
    updated = True
    complete_at = 0
    for frame in range(frames):
        if step >= stride and updated:
            complete_at = frame + delays(len(key_frames))
            key_frames.append(frame)
            step = 0
            updated = False
        step = step + 1
        if not updated:
            completed = frame + 1 >= complete_at
            if step == wait_at:
                completed = True
            if completed:
                metric = metrics[(len(key_frames) - 1) % len(metrics)]
                stride = next_stride(stride, metric, threshold, min_stride, max_stride)
                updated = True
    return key_frames


class Client:
    """Drives a Scheduler as a student does, with updates that arrive after given delays."""

    def __init__(self, settings: ScheduleSettings, metrics: list[float], delays: Delays) -> None:
        self.scheduler = Scheduler(settings)
        self.metrics = metrics
        self.delays = delays
        self.key_frames: list[int] = []
        self.taken: list[int] = []  # frames from key frame to update, both included
        self.waits = 0

    def run(self, frames: int) -> Client:
        scheduler = self.scheduler
        for frame in range(frames):
            outstanding = scheduler.outstanding
            if scheduler.on_frame():
                assert not outstanding, 'two key frames are unanswered'
                self.key_frames.append(frame)
            assert scheduler.outstanding == (len(self.key_frames) > len(self.taken))
            take = scheduler.after_frame()
            assert (take is Take.NOTHING) or scheduler.outstanding
            if take is Take.NOTHING:
                continue
            count = len(self.key_frames) - 1
            since = frame - self.key_frames[-1] + 1
            here = since >= self.delays(count)
            self.waits += take is Take.WAIT and not here
            if here or take is Take.WAIT:
                self.taken.append(since)
                scheduler.on_update(self.metrics[count % len(self.metrics)])
                assert scheduler.after_frame() is Take.NOTHING
        return self


def _random_delays(seed: int) -> Delays:
    rng = random.Random(seed)
    delays = [rng.randint(1, 12) for _ in range(FRAMES)]
    return lambda count: delays[count]


def _metrics(seed: int) -> list[float]:
    rng = random.Random(seed)
    return [rng.choice([0.0, 0.3, 0.78, 0.8, 0.81, 0.85, 0.9, 0.97, 1.0]) for _ in range(37)]


DELAYS: list[tuple[str, Delays]] = [
    ('1', lambda count: 1), ('8', lambda count: 8), ('never', lambda count: NEVER),
    ('random', _random_delays(1)), ('other', _random_delays(2))]


@pytest.mark.parametrize('metrics', [[0.0], [0.8], [1.0], [0.85], _metrics(3), _metrics(4)])
@pytest.mark.parametrize('delays', [d for _, d in DELAYS], ids=[name for name, _ in DELAYS])
def test_paced_sends_the_papers_key_frames(delays: Delays, metrics: list[float]) -> None:
    client = Client(ScheduleSettings(threshold=0.8, policy=PACED), metrics, delays).run(FRAMES)
    assert client.key_frames == _algorithm_4(FRAMES, metrics, delays, wait_at=8)
    assert client.key_frames[0] == 0
    late = sum(delays(count) > 8 for count in range(len(client.taken)))
    assert client.waits == late


def test_a_paced_trace_by_hand() -> None:
    # Strides 8 (first), 16, 12.8, 8.6 and so on: a key frame at the next whole frame.
    client = Client(
        ScheduleSettings(threshold=0.8, policy=PACED), [1.0, 0.64, 0.54], lambda count: 3)
    assert client.run(60).key_frames == [0, 16, 29, 38, 56]


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.lists(st.integers(1, 80), min_size=1, max_size=20),
    st.integers(1, 12), st.integers(0, 40), st.floats(0.05, 0.95), st.sampled_from([PACED, LIVE]))
@settings(deadline=None)
def test_any_trace_is_the_papers(
    metrics: list[float], arrivals: list[int], min_stride: int, more: int, threshold: float,
    policy: str,
) -> None:
    def delays(count: int) -> int:
        return arrivals[count % len(arrivals)]

    client = Client(
        ScheduleSettings(min_stride, min_stride + more, threshold, policy), metrics, delays)
    assert client.run(200).key_frames == _algorithm_4(
        200, metrics, delays, min_stride if policy == PACED else None,
        min_stride, min_stride + more, threshold)
    assert policy == PACED or client.waits == 0


@pytest.mark.parametrize('update_delay', [1, 3, 8])
@pytest.mark.parametrize('delays', [d for _, d in DELAYS], ids=[name for name, _ in DELAYS])
def test_update_delay_takes_every_update_at_that_frame(
    delays: Delays, update_delay: int,
) -> None:
    """The paper's P-1 and P-8, for whatever the network does."""
    client = Client(
        ScheduleSettings(threshold=0.8, policy=PACED, update_delay=update_delay), _metrics(5),
        delays)
    client.run(FRAMES)
    assert len(client.taken) > 10
    assert set(client.taken) == {update_delay}
    assert client.key_frames == _algorithm_4(
        FRAMES, _metrics(5), lambda count: update_delay, wait_at=update_delay)


@pytest.mark.parametrize('delays', [d for _, d in DELAYS], ids=[name for name, _ in DELAYS])
def test_live_never_waits(delays: Delays) -> None:
    client = Client(ScheduleSettings(threshold=0.8, policy=LIVE), _metrics(6), delays).run(FRAMES)
    assert client.waits == 0
    assert client.key_frames == _algorithm_4(FRAMES, _metrics(6), delays, wait_at=None)


def test_live_keeps_one_key_frame_outstanding_for_ever() -> None:
    client = Client(
        ScheduleSettings(threshold=0.8, policy=LIVE), [1.0], lambda count: NEVER).run(FRAMES)
    assert client.key_frames == [0]
    assert client.scheduler.outstanding


def test_live_sends_at_once_when_an_answer_was_overdue() -> None:
    client = Client(ScheduleSettings(threshold=0.8, policy=LIVE), [0.8], lambda count: 30).run(100)
    assert client.key_frames == [0, 30, 60, 90]


def _quiet_frames(scheduler: Scheduler) -> int:
    """Return how many frames pass before the next key frame."""
    count = 0
    while not scheduler.on_frame():
        count += 1
        assert scheduler.after_frame() is Take.NOTHING
        assert count <= 1000
    return count


@pytest.mark.parametrize('policy', [PACED, LIVE])
def test_failures_back_off_doubling_up_to_max_stride(policy: str) -> None:
    scheduler = Scheduler(ScheduleSettings(threshold=0.8, policy=policy))
    assert _quiet_frames(scheduler) == 0
    waits = []
    for _ in range(30):
        scheduler.on_failure()
        assert not scheduler.outstanding
        waits.append(_quiet_frames(scheduler))
    assert waits[:5] == [8, 16, 32, 64, 64]
    assert set(waits[5:]) == {64}


def test_success_ends_the_back_off_and_keeps_the_stride() -> None:
    scheduler = Scheduler(ScheduleSettings(threshold=0.8))
    scheduler.on_frame()
    scheduler.on_update(1.0)
    assert scheduler.stride == 16
    assert _quiet_frames(scheduler) == 15  # 16 from key frame to key frame
    scheduler.on_failure()
    assert scheduler.stride == 16
    assert _quiet_frames(scheduler) == 8
    scheduler.on_failure()
    assert _quiet_frames(scheduler) == 16
    scheduler.on_update(0.8)
    assert _quiet_frames(scheduler) == 15
    scheduler.on_failure()
    assert _quiet_frames(scheduler) == 8


def test_back_off_counts_from_the_failure_not_from_the_key_frame() -> None:
    scheduler = Scheduler(ScheduleSettings(threshold=0.8))
    for _ in range(40):
        scheduler.on_frame()
    scheduler.on_failure()
    assert _quiet_frames(scheduler) == 8


def test_silence_is_tried_again_soon_however_long_it_lasts() -> None:
    scheduler = Scheduler(ScheduleSettings(threshold=0.8))
    scheduler.on_frame()
    waits = []
    for _ in range(5):
        scheduler.on_failure(silent=True)
        waits.append(_quiet_frames(scheduler))
    assert set(waits) == {8}


def test_a_floor_raises_the_stride_and_goes_again() -> None:
    scheduler = Scheduler(ScheduleSettings(threshold=0.8))
    scheduler.on_frame()
    scheduler.floor = 20
    scheduler.on_update(0.5)
    assert (scheduler.stride, scheduler.wanted_stride) == (20, 8)
    assert _quiet_frames(scheduler) == 19
    scheduler.floor = 8
    scheduler.on_update(0.5)
    assert scheduler.stride == 8


@pytest.mark.parametrize('fields', [
    {'min_stride': 0}, {'min_stride': -8}, {'min_stride': 65}, {'max_stride': 7},
    {'threshold': 0.0}, {'threshold': 1.0}, {'threshold': float('nan')},
    {'policy': ''}, {'policy': 'LIVE'},
    {'update_delay': 1}, {'policy': LIVE, 'update_delay': 8},
    {'policy': PACED, 'update_delay': 9}, {'policy': PACED, 'update_delay': -1},
    {'policy': LIVE, 'update_delay': -1},
], ids=str)
def test_impossible_settings_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r'expected|live never waits'):
        ScheduleSettings(**fields)  # type: ignore[arg-type]


def test_the_papers_strides_are_the_defaults() -> None:
    defaults = ScheduleSettings()
    assert (defaults.min_stride, defaults.max_stride, defaults.threshold) == (8, 64, 0.9)


def test_a_single_stride_makes_every_frame_a_key_frame() -> None:
    client = Client(ScheduleSettings(1, 1, policy=PACED), [0.5], lambda count: NEVER).run(20)
    assert client.key_frames == list(range(20))
    assert set(client.taken) == {1}


def test_other_settings_hold_from_the_next_decision_on() -> None:
    scheduler = Scheduler(ScheduleSettings(8, 64, 0.8))
    assert scheduler.on_frame()
    scheduler.on_update(0.99)
    assert scheduler.stride > 8
    scheduler.change(ScheduleSettings(2, 4, threshold=0.5))
    assert scheduler.stride == 4
    assert [scheduler.on_frame() for _ in range(4)] == [False, False, False, True]
    scheduler.change(ScheduleSettings(10, 20, 0.8))
    assert scheduler.outstanding
    scheduler.on_update(0.1)
    assert scheduler.stride == 10
