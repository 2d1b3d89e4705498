# SPDX-License-Identifier: Apache-2.0
"""When a pool of workers grows and shrinks."""

import pytest

from shadowtutor_ros.schedule.scale import GROW_AFTER, Scale, SHRINK_AFTER


def test_the_least_are_there_at_once() -> None:
    scale = Scale(2, 4)
    assert [scale.change(0.0, count, False, 0.0) for count in (0, 1, 2)] == [2, 1, 0]


def test_one_comes_when_there_was_too_much_to_do_for_a_while() -> None:
    scale = Scale(1, 3)
    assert scale.change(10.0, 1, True, 1.0) == 0
    assert scale.change(10.0 + GROW_AFTER, 1, True, 1.0) == 1
    assert scale.change(10.0 + 1.9 * GROW_AFTER, 2, True, 2.0) == 0  # it has just come
    assert scale.change(10.0 + 2 * GROW_AFTER, 2, True, 2.0) == 1
    assert scale.change(10.0 + 9 * GROW_AFTER, 3, True, 3.0) == 0


def test_a_moment_of_too_much_changes_nothing() -> None:
    scale = Scale(1, 3)
    for start in (0.0, 2 * GROW_AFTER):
        assert scale.change(start, 1, True, 1.0) == 0
        assert scale.change(start + 0.9 * GROW_AFTER, 1, False, 1.0) == 0


def test_one_goes_when_the_others_could_do_it() -> None:
    scale = Scale(1, 3)
    assert scale.change(0.0, 2, False, 0.5) == 0
    assert scale.change(SHRINK_AFTER - 1, 2, False, 0.5) == 0
    assert scale.change(SHRINK_AFTER, 2, False, 0.5) == -1
    assert scale.change(9 * SHRINK_AFTER, 1, False, 0.0) == 0


def test_none_goes_that_is_needed() -> None:
    scale = Scale(1, 3)
    for second in range(0, 300, 10):
        assert scale.change(float(second), 2, False, 0.7) == 0


@pytest.mark.parametrize(('least', 'most'), [(0, 1), (2, 1)])
def test_numbers_that_cannot_be(least: int, most: int) -> None:
    with pytest.raises(ValueError, match=f'got {least} and {most}'):
        Scale(least, most)
