# SPDX-License-Identifier: Apache-2.0
from paired import disturbances, spread
import pytest

CALM = [1.0, 1.02, 0.98, 1.01, 5.0]  # one hiccup is none


def test_the_middle_half_counts() -> None:
    assert spread([1.0]) == 0.0
    assert spread(CALM) == pytest.approx(0.02 / 1.01)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)


def test_whoever_was_in_the_way_is_noticed() -> None:
    calm = {'step': {'product': CALM, 'reference': CALM}}
    assert disturbances(calm, 0.01) == []
    assert disturbances(calm, 0.3) == ['this process waited for a CPU 30 % of the time']
    shaken = {'step': {'product': [1.0, 2.0, 3.0, 4.0, 5.0], 'reference': CALM}}
    assert disturbances(shaken, 0.0) == ['rounds of step product differ by 67 %']
