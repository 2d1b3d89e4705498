# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable

import numpy as np
import pytest

from shadowtutor_ros.schedule.stamp_gaps import StampGaps

PERIOD = 33_366_667


def gaps(stamps: Iterable[int]) -> StampGaps:
    found = StampGaps()
    for stamp in stamps:
        found.see(int(stamp))
    return found


def camera(arrives: Iterable[bool], jitter: float = 0.0) -> list[int]:
    noise = np.random.default_rng(1).uniform(-jitter, jitter, 10_000)
    return [round((k + noise[k]) * PERIOD) for k, here in enumerate(arrives) if here]


@pytest.mark.parametrize('jitter', [0.0, 0.08])
@pytest.mark.parametrize('lost', [0.0, 0.1, 0.3, 0.5, 0.6])
def test_the_share_of_images_that_do_not_arrive(lost: float, jitter: float) -> None:
    arrives = np.random.default_rng(0).random(400) >= lost
    found = gaps(camera(arrives, jitter))
    assert found.missing == pytest.approx(lost, abs=0.12)
    assert (found.many is None) == (lost < 0.2)


def test_of_each_second_image_that_is_lost_nothing_can_be_known() -> None:
    assert gaps(camera(k % 2 == 0 for k in range(200))).missing == 0.0


def test_in_words_it_is_about_how_many() -> None:
    assert gaps(camera(k % 5 in (0, 1) for k in range(300))).many == '60 %'


@pytest.mark.parametrize('stamps', [
    [0] * 100, [7] * 100, [10**10 - k * PERIOD for k in range(100)], [5], [],
    [k * PERIOD for k in range(10)],
    np.cumsum(np.random.default_rng(0).exponential(PERIOD, 200)),
    np.cumsum(np.random.default_rng(0).choice([1.0, 1.4, 1.6, 2.45], 200) * PERIOD),
], ids=['zero', 'constant', 'backwards', 'one', 'none', 'few', 'events', 'irregular'])
def test_of_stamps_without_a_rate_it_says_nothing(stamps: Iterable[int]) -> None:
    assert gaps(stamps).missing == 0.0


def test_a_bag_that_begins_again_and_a_rate_that_changes_are_no_losses() -> None:
    assert gaps([k % 50 * PERIOD for k in range(175)]).missing == 0.0
    slower = [k * PERIOD for k in range(100)]
    slower += [slower[-1] + k * 2 * PERIOD for k in range(1, 100)]
    assert gaps(slower).missing == 0.0


def test_an_outage_is_forgotten() -> None:
    stamps = camera(np.random.default_rng(0).random(200) >= 0.5)
    assert gaps(stamps).many is not None
    assert gaps([*stamps, *(stamps[-1] + k * PERIOD for k in range(1, 80))]).missing == 0.0
