# SPDX-License-Identifier: Apache-2.0
"""Both ends over a simulated link: everything arrives, in time, and little is sent twice."""

from __future__ import annotations

import math
import random
from statistics import median

from hypothesis import given, settings, strategies as st
import pytest
from transfer.channel import Direction, HEADERS, Outcome, Simulation

from shadowtutor_ros.transfer.pieces import LARGE_PIECE_BYTES, PIECE_BYTES, piece_count
from shadowtutor_ros.transfer.sender import MAX_BACKOFF, PATIENCE, PROBES, WINDOW

SIZES = st.one_of(st.integers(0, 4 * PIECE_BYTES), st.integers(0, 120_000))
SEEDS = st.integers(0, 2**32)
RATES = st.one_of(st.just(math.inf), st.floats(4.3, 9).map(lambda digits: 10**digits))
BATCH = settings(deadline=None, max_examples=60, derandomize=True)


def payload(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def bad_way(rate: float, delay: float, loss: float) -> Direction:
    return Direction(rate, delay, math.inf, loss, duplicates=0.05, reorder=0.1, lag=0.02)


@BATCH
@given(SIZES, RATES, st.floats(0, 0.1), st.floats(0, 0.4), st.floats(0, 0.4), SEEDS)
def test_every_payload_arrives_bit_exact(
    size: int, rate: float, delay: float, loss: float, back_loss: float, seed: int,
) -> None:
    link = Simulation(bad_way(rate, delay, loss), bad_way(rate, delay, back_loss), seed)
    for data in (payload(size), payload(size // 2)):
        outcome = link.run(data, limit=600.0)
        assert outcome.payload == data
        assert outcome.received_at <= outcome.done_at < math.inf


@BATCH
@given(st.lists(st.integers(PIECE_BYTES, 120_000), min_size=1, max_size=4),
       RATES, st.floats(0, 0.05), st.sampled_from([WINDOW, math.inf]))
def test_without_loss_nothing_is_sent_twice(
    sizes: list[int], rate: float, delay: float, queue: float,
) -> None:
    """At any rate from 160 kbps, with any queue that holds the window."""
    link = Simulation(Direction(rate, delay, queue), Direction(rate, delay))
    for size in sizes:
        outcome = link.run(payload(size), limit=600.0)
        assert outcome.payload == payload(size)
        assert outcome.repeats == 0
    assert link.there.dropped_by_queue == 0
    assert link.path.repeated == 0


def test_only_probes_repeat_while_a_long_round_trip_is_unknown() -> None:
    link = Simulation(Direction(delay=0.4), Direction(delay=0.4))
    assert link.run(payload(60_000)).repeats == 2 + 4  # after 0.2 and 0.6 s
    assert link.run(payload(60_000)).repeats == 0
    assert link.run(payload(200_000)).repeats == 0


@BATCH
@given(st.lists(SIZES, min_size=1, max_size=6), RATES, st.floats(0, 0.1), st.floats(0, 0.3), SEEDS)
def test_large_pieces_arrive_too_and_get_small_again(
    sizes: list[int], rate: float, delay: float, loss: float, seed: int,
) -> None:
    link = Simulation(bad_way(rate, delay, loss), bad_way(rate, delay, loss), seed)
    link.path.on_acknowledged(1 << 20, 1.0)
    for size in sizes:
        large, repeated = link.path.piece_bytes == LARGE_PIECE_BYTES, link.path.repeated
        assert link.run(payload(size), limit=600.0).payload == payload(size)
        if large and link.path.repeated > repeated:
            assert link.path.piece_bytes == PIECE_BYTES


@pytest.mark.parametrize('mbps', [40, 8, 2])
def test_without_loss_the_link_is_never_idle(mbps: int) -> None:
    size = 300_000
    rate = mbps * 1e6 / 8
    outcome = Simulation(Direction(rate), Direction(rate)).run(payload(size))
    busy = (size + piece_count(size) * HEADERS) / rate
    assert outcome.received_at == pytest.approx(busy + 0.0025, rel=1e-6)
    assert outcome.reports <= len(outcome.sent) / 4


@BATCH
@given(SIZES, RATES, st.floats(0, 0.05), st.floats(0, 0.3), SEEDS)
def test_what_is_sent_is_bounded(
    size: int, rate: float, delay: float, loss: float, seed: int,
) -> None:
    link = Simulation(Direction(rate, delay, loss=loss), Direction(rate, delay, loss=loss), seed)
    outcome = link.run(payload(size), limit=600.0)
    assert outcome.payload == payload(size)
    assert len(outcome.sent) <= piece_count(size) / (1 - loss) * 1.5 + 10
    assert link.path.sent == len(outcome.sent)
    assert link.path.repeated == outcome.repeats


@pytest.mark.parametrize(('loss', 'typical', 'nine_in_ten', 'extra'), [
    (0.0, 1.51, 1.51, 0.0), (0.05, 3, 5, 0.08), (0.2, 5, 11, 0.32)])
def test_sixty_kilobytes_take_few_round_trips(
    loss: float, typical: float, nine_in_ten: float, extra: float,
) -> None:
    round_trip, data = 0.05, payload(60_000)
    outcomes: list[Outcome] = []
    for seed in range(60):
        link = Simulation(*(Direction(delay=round_trip / 2, loss=loss) for _ in 'ab'), seed)
        link.run(data)
        outcomes.append(link.run(data))
    trips = sorted(outcome.received_at / round_trip for outcome in outcomes)
    assert median(trips) <= typical
    assert trips[53] <= nine_in_ten
    repeats = sum(outcome.repeats for outcome in outcomes)
    assert repeats <= extra * 60 * piece_count(len(data))


@pytest.mark.parametrize('loss', [0.05, 0.2])
def test_loss_costs_a_large_payload_its_share(loss: float) -> None:
    size, rate = 945_000, 5e6
    busy = (size + piece_count(size) * HEADERS) / rate / (1 - loss)
    times = []
    for seed in range(9):
        link = Simulation(Direction(rate, loss=loss), Direction(rate, loss=loss), seed)
        times.append(link.run(payload(size)).received_at)
    assert median(times) <= 1.2 * busy


@pytest.mark.parametrize('begins', [0.0, 0.004, 0.03, 0.1])
@pytest.mark.parametrize('both', [True, False])
def test_it_goes_on_soon_after_an_outage(begins: float, both: bool) -> None:
    size, rate, delay, ends = 300_000, 1e6, 0.01, begins + 10
    outages = ((begins, ends),)
    link = Simulation(
        Direction(rate, delay, outages=outages), Direction(rate, delay, outages=outages * both))
    data = payload(size)
    outcome = link.run(data)
    assert outcome.payload == data
    during = [at for at, _ in outcome.sent if begins + 0.5 < at < ends]
    assert len(set(during)) <= 21
    assert len(during) <= 2 * 21 + sum(PROBES)
    after = sorted({at for at, _ in outcome.sent if at >= ends})
    assert after[0] <= ends + 0.5
    one_piece = (PIECE_BYTES + HEADERS) / rate
    answered = after[0] + 2 * delay + one_piece + 0.001
    assert after[1] <= answered  # the probe's answer brings everything else
    left = (size + piece_count(size) * HEADERS) / rate + PROBES[0] * one_piece
    assert outcome.received_at <= answered + left + delay


@pytest.mark.parametrize('minutes', [1.0, 1.9])
def test_an_outage_of_a_minute_is_survived(minutes: float) -> None:
    outage = Direction(1e6, outages=((0.0, 60 * minutes),))
    outcome = Simulation(outage, Direction(1e6)).run(payload(60_000), limit=600.0)
    assert outcome.payload == payload(60_000)


def test_nothing_is_sent_for_ever_to_who_is_gone() -> None:
    gone = Direction(1e6, outages=((0.0, math.inf),))
    outcome = Simulation(gone, Direction(1e6)).run(payload(60_000), limit=600.0)
    assert (outcome.payload, outcome.done_at) == (None, math.inf)
    assert outcome.sent[-1][0] < PATIENCE
    assert len(outcome.sent) < WINDOW + sum(PROBES) + PROBES[0] * PATIENCE / MAX_BACKOFF


@pytest.mark.parametrize('rate', [1e6, math.inf])
def test_twenty_packets_lost_in_a_row_are_soon_over(rate: float) -> None:
    """Also when they are twenty probes, or twenty reports."""
    there, back = (Direction(rate, 0.02, bursts=(20, 400)) for _ in 'ab')
    link = Simulation(there, back)
    assert max(link.run(payload(110_000)).received_at for _ in range(60)) < 2.0


def test_a_queue_that_outlives_the_outage_leaves_no_scar() -> None:
    """What waited in a queue for seconds is no measure of the round trip afterwards."""
    there, back = Direction(1e6), Direction(1e6)
    link = Simulation(there, back)
    there.hold(10.0)
    assert link.run(payload(60_000)).payload == payload(60_000)
    assert link.path.timeout <= 1.0
    there.loss = 0.2
    assert link.run(payload(60_000)).received_at < 5.0


def test_a_full_queue_is_survived() -> None:
    there = Direction(1e6, queue=20)
    outcome = Simulation(there, Direction(1e6)).run(payload(300_000))
    assert outcome.payload == payload(300_000)
    assert there.dropped_by_queue > 0
