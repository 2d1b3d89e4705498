# SPDX-License-Identifier: Apache-2.0
"""Every rule of the sending end, by hand."""

from __future__ import annotations

import math
import random
import sys

from hypothesis import given, settings, strategies as st
import pytest

from shadowtutor_ros.transfer.path import PathEstimate
from shadowtutor_ros.transfer.pieces import Piece, PIECE_BYTES, piece_count, Report
from shadowtutor_ros.transfer.receiver import Receiver
from shadowtutor_ros.transfer.sender import MAX_BACKOFF, PATIENCE, REMEMBERED, Sender

ID = 0xfedc_ba98_7654_3210
WINDOW = 64  # pieces; any would do


def payload(pieces: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(pieces * PIECE_BYTES - 5)


def start(pieces: int) -> tuple[Sender, PathEstimate]:
    path = PathEstimate()
    return Sender(payload(pieces), ID, path, 0.0, WINDOW), path


def report(newest: int, missing: set[int], end: int) -> Report:
    """Everything below ``end`` is there but what is missing."""
    first = min(missing, default=end)
    bits = sum(1 << (index - first - 1)
               for index in range(first + 1, end) if index not in missing)
    return Report(ID, newest, first, bits.to_bytes(-(-bits.bit_length() // 8), 'little'))


def indices(pieces: list[Piece]) -> list[int]:
    return [piece.index for piece in pieces]


def orders(pieces: list[Piece]) -> list[int]:
    return [piece.order for piece in pieces]


def test_the_window_and_who_asks() -> None:
    sender, path = start(200)
    assert sender.wake_at == 0.0
    assert sender.has_more
    first = sender.pieces(0.0)
    assert not sender.has_more  # before a report
    assert indices(first) == list(range(WINDOW))
    assert orders(first) == list(range(1, 65))
    assert [p.order for p in first if p.report] == [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64]
    assert b''.join(p.data for p in first) == payload(200)[:64 * PIECE_BYTES]
    assert {(p.transfer, p.size) for p in first} == {(ID, 200 * PIECE_BYTES - 5)}
    assert sender.pieces(0.01) == []

    sender.on_report(report(5, set(), 5), 0.02)
    assert sender.has_more
    more = sender.pieces(0.02)
    assert indices(more) == [64, 65, 66, 67, 68]
    assert [p.order for p in more if p.report] == [69]  # the last that can go now
    assert (path.sent, path.repeated) == (69, 0)


@pytest.mark.parametrize('size', [0, 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_small_payloads(size: int) -> None:
    data = random.Random(size).randbytes(size)
    sender = Sender(data, ID, PathEstimate(), 3.0, WINDOW)
    sent = sender.pieces(3.0)
    assert len(sent) == piece_count(size)
    assert sent[-1].report
    assert b''.join(piece.data for piece in sent) == data
    assert not sender.done
    sender.on_report(report(len(sent), set(), len(sent)), 3.1)
    assert sender.done
    assert not sender.has_more
    assert sender.wake_at == math.inf
    assert sender.pieces(99.0) == []


def test_lost_is_what_three_later_ones_have_overtaken() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    sender.on_report(report(6, {3}, 6), 0.01)  # piece 3 has order 4
    assert indices(sender.pieces(0.01)) == [64, 65, 66, 67, 68]
    sender.on_report(report(7, {3}, 7), 0.01)
    again = sender.pieces(0.01)
    assert indices(again) == [3, 69]  # what is lost goes first
    assert orders(again) == [70, 71]
    assert path.repeated == 1


def test_what_is_lost_at_the_end_is_more_to_send() -> None:
    sender, _ = start(3)
    sender.pieces(0.0)
    sender.on_report(report(3, {1}, 3), 0.01)
    assert sender.has_more
    assert indices(sender.pieces(0.01)) == [1]
    assert not sender.has_more


def test_a_repeat_is_judged_by_its_own_order() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    sender.on_report(report(8, {0}, 8), 0.01)
    assert sender.has_more
    assert indices(sender.pieces(0.01))[0] == 0  # order 65
    sender.on_report(report(64, {0}, 64), 0.02)
    assert 0 not in indices(sender.pieces(0.02))
    sender.on_report(report(68, {0}, 67), 0.03)
    assert 0 in indices(sender.pieces(0.03))
    assert path.repeated == 2


def test_an_old_report_changes_nothing() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    sender.on_report(report(32, set(), 32), 0.01)
    assert len(sender.pieces(0.01)) == 32
    for newest in 8, 16, 24:
        sender.on_report(report(newest, {1, 2}, newest), 0.02)
        assert sender.pieces(0.02) == []
    assert path.repeated == 0
    assert path.srtt == pytest.approx(0.01)


def test_what_arrives_late_is_not_sent_again() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    sender.on_report(report(8, {0}, 8), 0.01)
    assert sender.has_more
    sender.on_report(report(9, set(), 9), 0.01)  # before there was time to repeat it
    assert indices(sender.pieces(0.01)) == list(range(64, 73))
    assert path.repeated == 0


def test_two_reports_in_a_row() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    sender.on_report(report(8, {0}, 8), 0.01)
    assert sender.has_more
    sender.on_report(report(16, {0, 9}, 16), 0.01)
    assert indices(sender.pieces(0.01)) == [0, 9, *range(64, 78)]
    assert path.repeated == 2


def test_at_the_end_one_later_piece_is_enough() -> None:
    sender, _ = start(10)
    sender.pieces(0.0)
    sender.on_report(report(10, {8}, 10), 0.01)
    assert indices(sender.pieces(0.01)) == [8]


def test_silence_brings_larger_probes_and_longer_patience() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    waits, sizes, now = [], [], 0.0
    for _ in range(6):
        wait = sender.wake_at - now
        assert sender.pieces(now + wait - 1e-6) == []
        now = sender.wake_at
        probe = sender.pieces(now)
        assert all(piece.report for piece in probe)
        waits.append(wait)
        sizes.append(len(probe))
    assert waits == pytest.approx([0.2, 0.4, 0.5, 0.5, 0.5, 0.5])
    assert sizes == [2, 4, 8, 8, 2, 2]
    assert (path.sent, path.repeated) == (64 + 26, 26)


def test_probes_take_the_oldest_piece_in_turn() -> None:
    sender, _ = start(3)
    sender.pieces(0.0)
    probes = [indices(sender.pieces(sender.wake_at)) for _ in range(3)]
    assert probes == [[0, 1], [2, 0, 1, 2], [0, 1, 2, 0, 1, 2, 0, 1]]


def test_an_answered_probe_brings_back_all_that_was_sent_before_it() -> None:
    sender, _ = start(200)
    sender.pieces(0.0)
    now = sender.wake_at
    assert indices(sender.pieces(now)) == [0, 1]
    sender.on_report(Report(ID, 65, 1, b''), now + 0.01)
    assert indices(sender.pieces(now + 0.01)) == [*range(2, 64), 64]


def test_a_report_from_before_the_probe_judges_only_what_it_can_know() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    now = sender.wake_at
    sender.pieces(now)
    sender.on_report(report(8, set(), 8), now + 0.01)  # all is still queued
    assert indices(sender.pieces(now + 0.01)) == list(range(64, 72))
    assert path.repeated == 2


def test_a_probe_too_can_be_late() -> None:
    sender, _ = start(200)
    sender.pieces(0.0)
    now = sender.wake_at
    sender.pieces(now)  # orders 65 and 66
    sender.on_report(report(8, {0}, 8), now + 0.01)
    sender.pieces(now + 0.01)  # orders 67 to 73
    sender.on_report(report(67, {0}, 66), now + 0.02)
    assert 0 not in indices(sender.pieces(now + 0.02))
    sender.on_report(report(68, {0}, 67), now + 0.02)
    assert 0 in indices(sender.pieces(now + 0.02))


def test_any_report_ends_the_patience() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    for _ in range(4):
        sender.pieces(sender.wake_at)
    now = sender.wake_at
    sender.on_report(report(8, set(), 8), now)
    for _ in range(100):
        path.on_round_trip(0.03)
    assert sender.wake_at == pytest.approx(now + path.timeout)
    assert path.timeout < 0.1
    sender.pieces(now)
    assert len(sender.pieces(sender.wake_at)) == 2


def test_a_path_slower_than_the_longest_patience_is_waited_for() -> None:
    sender, path = start(200)
    for _ in range(100):
        path.on_round_trip(0.8)
    sender.pieces(0.0)
    for probes in range(3):
        assert sender.wake_at == pytest.approx((probes + 1) * path.timeout)
        sender.pieces(sender.wake_at)


def test_round_trips_are_of_the_order_that_is_answered() -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    sender.on_report(report(8, {0}, 8), 0.1)
    assert path.srtt == pytest.approx(0.1)
    assert indices(sender.pieces(0.1))[0] == 0
    sender.on_report(report(65, set(), 64), 0.15)  # the repeat: 0.05 s, not 0.15
    assert path.srtt == pytest.approx(0.1 * 7 / 8 + 0.05 / 8)
    sender.on_report(report(65, set(), 64), 5.0)  # a duplicate says nothing new
    assert path.srtt == pytest.approx(0.1 * 7 / 8 + 0.05 / 8)


def test_goodput_is_what_was_acknowledged() -> None:
    sender, path = start(40)
    sender.pieces(0.0)
    for newest in 8, 16, 24, 32, 40:
        sender.on_report(report(newest, set(), newest), 0.005 + newest * 1e-3)
    assert sender.done
    assert path.goodput == pytest.approx((40 * PIECE_BYTES - 5) / 0.045, rel=0.1)


def test_after_two_minutes_without_a_report_it_gives_up() -> None:
    data = payload(200)
    held = sys.getrefcount(data)
    sender = Sender(data, ID, PathEstimate(), 0.0, WINDOW)
    sender.pieces(0.0)
    sender.on_report(report(8, {2}, 8), 3.0)
    now = last = 3.0
    while sender.wake_at < math.inf:
        assert not sender.given_up
        now = max(now, sender.wake_at)
        if sender.pieces(now):
            last = now
    assert now == 3.0 + PATIENCE == 123.0
    assert last >= now - 2 * MAX_BACKOFF
    assert sender.given_up
    assert not sender.done
    assert sys.getrefcount(data) == held
    sender.on_report(report(64, set(), 64), now + 1)  # too late
    assert sender.pieces(now + 1) == []
    assert sender.wake_at == math.inf


def test_reports_that_tell_nothing_new_cost_no_memory() -> None:
    sender, path = start(200)
    now = 0.0
    for _ in range(20 * REMEMBERED):
        now = max(now + 1e-3, sender.wake_at)
        sent = sender.pieces(now)
        sender.on_report(Report(ID, 1, 0, b''), now)
    assert path.sent > 20 * REMEMBERED
    assert len(sender._sent_at) == REMEMBERED
    before = path.srtt
    sender.on_report(report(2, {0}, 2), now + 0.1)  # of a piece sent too long ago to be measured
    assert path.srtt == before
    sender.on_report(report(sent[-1].order, {0}, 2), now + 0.1)
    assert path.srtt != before


def test_a_receiver_that_forgot_gets_everything_again() -> None:
    data = payload(100)
    path = PathEstimate()
    sender = Sender(data, ID, path, 0.0, WINDOW)
    receiver = Receiver(1 << 20)
    now, received = 0.0, None
    for step in range(100):
        now += 0.01
        if step == 1:
            receiver = Receiver(1 << 20)  # it started anew
        for report in [receiver.on_piece(piece) for piece in sender.pieces(now)]:
            if report is not None:
                sender.on_report(report, now)
        received = received or receiver.take(ID)
    assert sender.done
    assert received == data
    assert path.repeated >= WINDOW


def test_done_stays_done() -> None:
    sender, path = start(3)
    sender.pieces(0.0)
    sender.pieces(sender.wake_at)
    sender.on_report(report(3, set(), 3), 0.3)
    assert sender.done
    sender.on_report(Report(ID, 4, 1, b''), 0.4)  # a repeat came after all was forgotten
    assert sender.done
    assert path.srtt == pytest.approx(0.3)


@pytest.mark.parametrize('bad', [
    Report(ID + 1, 8, 8, b''), Report(ID, 0, 8, b''), Report(ID, 65, 8, b''),
    Report(ID, 8, 201, b''), Report(ID, 8, -1, b'')])
def test_impossible_reports_are_ignored(bad: Report) -> None:
    sender, path = start(200)
    sender.pieces(0.0)
    wake_at = sender.wake_at
    sender.on_report(bad, 0.1)
    assert sender.pieces(0.1) == []
    assert sender.wake_at == wake_at
    assert path.srtt is None


@settings(derandomize=True)
@given(st.lists(st.builds(
    Report, st.sampled_from([ID, 5]), st.integers(-5, 300), st.integers(-5, 120),
    st.binary(max_size=600)), max_size=30))
def test_garbage_reports_never_break_the_sender(reports: list[Report]) -> None:
    data = payload(100)
    sender = Sender(data, ID, PathEstimate(), 0.0, WINDOW)
    receiver = Receiver(1 << 20)
    now = 0.0
    for garbage in reports:
        for piece in sender.pieces(now):
            receiver.on_piece(piece)  # every piece is a good one
        now += 0.05
        sender.on_report(garbage, now)
    assert receiver.take(ID) in (None, data)


def test_on_a_path_that_loses_nothing_pieces_are_large() -> None:
    data = random.Random(0).randbytes(100_000)
    path = PathEstimate()
    path.on_acknowledged(1 << 20, 1.0)
    sender, receiver = Sender(data, ID, path, 0.0, 32), Receiver(1 << 20)
    first = sender.pieces(0.0)
    assert [(len(piece.data), piece.length) for piece in first] == [(8192, 8192)] * 5
    assert [piece.report for piece in first] == [False] * 4 + [True]
    now = 0.0
    while not sender.done:
        now += 0.01
        for piece in first:
            if (answer := receiver.on_piece(piece)) is not None:
                sender.on_report(answer, now)
        first = sender.pieces(now)
    assert receiver.take(ID) == data
    assert (path.sent, path.repeated) == (13, 0)
