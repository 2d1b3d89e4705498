# SPDX-License-Identifier: Apache-2.0
import pytest

from shadowtutor_ros.monitor.legend import Legend


def test_colours_come_three_numbers_a_name() -> None:
    assert Legend.of(['car', 'background'], [1, 2, 3, 0, 0, 0]) == Legend(
        ('car', 'background'), ((1, 2, 3), (0, 0, 0)))


@pytest.mark.parametrize('colours', [[], [1, 2, 3], [1] * 13])
def test_without_fitting_colours_every_class_gets_its_own(colours: list[int]) -> None:
    legend = Legend.of(['a', 'b', 'c', 'background'], colours)
    assert len(legend.colours) == len(set(legend.colours)) == 4
    assert all(0 <= part <= 255 for colour in legend.colours for part in colour)
