# SPDX-License-Identifier: Apache-2.0
"""Traces of a player over a source of a few frames, with a clock of their own."""

from __future__ import annotations

import math
from typing import Any

import pytest

from shadowtutor_ros.playback import Playback, PlaybackError

FPS = 10.0
START = 100.0  # of the clock, in seconds


class Player:
    """Reads and publishes as the owner of a Playback does; all its times count from START."""

    def __init__(
        self, length: int = 5, claimed: int | None = 5, reading: float = 0.0, **settings: Any,
    ) -> None:
        self.playback = Playback(FPS, claimed, START, **settings)
        self.out: list[tuple[int, float]] = []  # place and time of every frame that went out
        self.stamps: list[int] = []
        self.late = 0  # masks
        self.now = 0.0
        self._length = length
        self._reading = reading

    @property
    def places(self) -> list[int]:
        return [place for place, _ in self.out]

    def run(self, until: float) -> None:
        while (wake_at := self.playback.wake_at - START) <= until:
            self.now = max(self.now, wake_at)
            if self.playback.give_up(self.now + START):
                self.late += 1
            elif self.playback.place >= self._length:
                self.playback.end()
            else:
                self.out.append((self.playback.place, round(self.now, 6)))
                self.stamps.append(self.playback.stamp)
                self.now += self._reading
                self.playback.published(self.now + START)
        self.now = max(self.now, until)

    def pause(self, paused: bool = True) -> None:
        self.playback.pause(paused, self.now + START)

    def step(self, frames: int = 1) -> None:
        self.playback.step(frames, self.now + START)

    def seek(self, seconds: float) -> None:
        self.playback.seek(seconds, self.now + START)

    def answer(self) -> None:
        self.playback.answered(self.now + START)


def test_frames_come_in_order_at_their_rate_until_the_end() -> None:
    player = Player()
    player.run(9.0)
    assert player.out == [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
    assert player.playback.ended
    assert player.playback.wake_at == math.inf


def test_a_slow_reader_is_caught_up_with_by_one_frame_at_most() -> None:
    player = Player(length=9, reading=0.35)
    player.run(0.0)
    player._reading = 0.0
    player.run(9.0)
    assert [time for _, time in player.out[:5]] == [0.0, 0.35, 0.35, 0.45, 0.55]


def test_a_loop_goes_on_and_its_stamps_grow() -> None:
    player = Player(length=3, loop=True)
    player.run(0.65)
    assert player.out == [(0, 0.0), (1, 0.1), (2, 0.2), (0, 0.3), (1, 0.4), (2, 0.5), (0, 0.6)]
    assert player.stamps == [index * 10**8 for index in range(7)]


def test_it_ends_after_so_many_frames_of_all_rounds() -> None:
    player = Player(length=3, loop=True, frames=5)
    player.run(9.0)
    assert player.places == [0, 1, 2, 0, 1]
    assert player.playback.ended


def test_a_source_without_frames_is_no_endless_loop() -> None:
    player = Player(length=0, loop=True)
    player.run(9.0)
    assert player.playback.ended


def test_a_pause_holds_the_frame_that_is_next_and_nothing_is_caught_up() -> None:
    player = Player()
    player.run(0.15)
    player.pause()
    player.run(5.0)
    assert player.places == [0, 1]
    player.pause(False)
    player.run(5.15)
    assert player.out[2:] == [(2, 5.0), (3, 5.1)]


def test_a_short_pause_does_not_hurry_the_next_frame() -> None:
    player = Player()
    player.run(0.02)
    player.pause()
    player.pause(False)
    player.run(0.15)
    assert player.out == [(0, 0.0), (1, 0.1)]


def test_a_step_lets_exactly_so_many_frames_go() -> None:
    player = Player(length=9)
    player.pause()
    player.step(3)
    player.run(5.0)
    assert player.out == [(0, 0.0), (1, 0.1), (2, 0.2)]
    player.step(0)
    player.step()
    player.run(6.0)
    assert player.out[3:] == [(3, 5.0), (4, 5.1)]


def test_a_new_pause_drops_the_steps_that_are_left() -> None:
    player = Player()
    player.pause()
    player.step(4)
    player.run(0.15)
    player.pause()
    player.run(5.0)
    assert player.places == [0, 1]


def test_a_step_is_refused_unless_it_is_paused() -> None:
    player = Player()
    with pytest.raises(PlaybackError, match='step: expected a replay that is paused'):
        player.step()
    player.run(9.0)
    assert player.places == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('settings', [{}, {'frames': 3}, {'length': 3, 'claimed': None}])
def test_a_step_at_the_end_is_refused(settings: dict[str, Any]) -> None:
    player = Player(**settings)
    player.run(9.0)
    player.pause()
    with pytest.raises(PlaybackError, match=r'step: .* the end'):
        player.step()


def test_a_step_after_the_last_frame_is_refused() -> None:
    player = Player()
    player.run(0.45)
    player.pause()
    assert not player.playback.ended  # nobody has looked yet
    with pytest.raises(PlaybackError, match=r'step: .* the end'):
        player.step()


def test_a_step_from_the_last_frame_of_a_loop_begins_the_next_round() -> None:
    player = Player(loop=True)
    player.run(0.45)
    player.pause()
    player.step(2)
    player.run(9.0)
    assert player.places == [0, 1, 2, 3, 4, 0, 1]


def test_a_seek_while_playing_plays_on_from_there() -> None:
    player = Player()
    player.run(0.15)
    player.seek(0.44)
    player.run(9.0)
    assert player.out == [(0, 0.0), (1, 0.1), (4, 0.2)]
    assert player.stamps == [0, 10**8, 4 * 10**8]


def test_a_seek_while_paused_waits_for_a_step_or_the_end_of_the_pause() -> None:
    player = Player()
    player.pause()
    player.step(2)
    player.seek(0.3)
    player.run(1.0)
    assert player.places == []
    player.step()
    player.run(2.0)
    player.seek(0.0)
    player.run(3.0)
    player.pause(False)
    player.run(9.0)
    assert player.places == [3, 0, 1, 2, 3, 4]
    assert player.out[1] == (0, 3.0)


def test_a_frame_that_was_being_read_is_not_wanted_after_a_pause_or_a_seek() -> None:
    player = Player()
    playback = player.playback
    assert playback.wants(0, START)
    player.pause()
    assert not playback.wants(0, START)
    player.step()
    assert playback.wants(0, START)
    player.seek(0.2)
    player.pause(False)
    assert not playback.wants(0, START)
    assert playback.wants(2, START)


@pytest.mark.parametrize('paused', [False, True])
def test_a_seek_at_the_end_revives_it(paused: bool) -> None:
    player = Player()
    player.run(1.0)
    player.pause(paused)
    player.seek(0.3)
    player.run(2.0)
    assert player.out[5:] == ([] if paused else [(3, 1.0), (4, 1.1)])
    if paused:
        player.step(9)
        player.run(3.0)
        assert player.out[5:] == [(3, 2.0), (4, 2.1)]
    assert player.playback.ended


def test_a_seek_stays_in_the_round() -> None:
    player = Player(length=3, claimed=3, loop=True)
    player.run(0.45)
    player.seek(0.2)
    player.run(0.65)
    assert player.places == [0, 1, 2, 0, 1, 2, 0]
    player.seek(0.0)
    player.run(0.75)
    assert [stamp // 10**8 for stamp in player.stamps] == [0, 1, 2, 3, 4, 5, 6, 6]


@pytest.mark.parametrize('seconds', [0.5, 0.45, -0.1, 1e308, math.inf, -math.inf, math.nan])
def test_a_place_outside_is_refused_and_named(seconds: float) -> None:
    player = Player()
    player.run(0.15)
    with pytest.raises(PlaybackError, match=r'expected 0 to 0\.400 s, the last of 5 frames at 10'):
        player.seek(seconds)
    player.run(9.0)
    assert player.places == [0, 1, 2, 3, 4]


def test_no_place_is_beyond_the_frames_that_are_wanted() -> None:
    player = Player(length=3, claimed=3, loop=True, frames=4)
    player.seek(0.2)
    player.run(0.15)
    with pytest.raises(PlaybackError, match='the last of 1 frames'):
        player.seek(0.1)


def test_a_camera_has_no_places() -> None:
    player = Player(claimed=None)
    with pytest.raises(PlaybackError, match='expected a source of known length, got a camera'):
        player.seek(0.0)


def test_a_source_that_claims_too_much_ends_where_it_ends() -> None:
    player = Player(length=3)
    player.seek(0.4)
    player.run(1.0)
    assert player.places == []
    assert player.playback.ended
    player.seek(0.2)
    player.run(2.0)
    assert player.places == [2]


def test_a_source_that_claims_too_little_is_played_to_its_end() -> None:
    player = Player(length=5, claimed=3)
    player.run(9.0)
    assert player.places == [0, 1, 2, 3, 4]


def test_in_lockstep_a_frame_waits_for_the_mask_of_the_last() -> None:
    player = Player(mask_timeout=2.0)
    player.run(1.0)
    assert player.places == [0]
    player.answer()
    player.answer()
    player.run(1.5)
    assert player.out == [(0, 0.0), (1, 1.0)]
    player.run(9.0)
    assert player.out[1:] == [(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0)]
    assert player.late == 4  # the last one's too


def test_in_lockstep_a_step_waits_for_the_mask_too() -> None:
    player = Player(mask_timeout=2.0)
    player.run(0.5)
    player.pause()
    player.step(2)
    player.run(1.0)
    assert player.places == [0]
    player.answer()
    player.run(1.5)
    assert player.places == [0, 1]
    player.answer()
    player.run(1.6)
    assert player.places == [0, 1, 2]
    player.answer()
    player.run(9.0)
    assert player.places == [0, 1, 2]
    assert player.late == 0


def test_a_mask_that_is_late_during_a_pause_is_given_up_once() -> None:
    player = Player(mask_timeout=2.0)
    player.run(0.5)
    player.pause()
    player.run(9.0)
    assert (player.places, player.late) == ([0], 1)
    player.pause(False)
    player.run(9.5)
    assert player.out[1:] == [(1, 9.0)]
