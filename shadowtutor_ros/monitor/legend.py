# SPDX-License-Identifier: Apache-2.0
"""Names and colours of a mask's values, as nodes publish them."""

from __future__ import annotations

from collections.abc import Sequence
import colorsys
from dataclasses import dataclass

_GOLDEN = 0.618034  # turns of the colour wheel between neighbours: no two come close


@dataclass(frozen=True)
class Legend:
    """Class names by class id with background last, and a colour (r, g, b) for each."""

    names: tuple[str, ...]
    colours: tuple[tuple[int, int, int], ...]

    @staticmethod
    def of(names: Sequence[str], colours: Sequence[int]) -> Legend:
        """
        Return the legend of a ClassMap: names, and colours one after another.

        Where there are no colours, or not three numbers for every name, it finds some.
        """
        flat = [int(part) for part in colours]
        if len(flat) != 3 * len(names):
            found = (colorsys.hsv_to_rgb(index * _GOLDEN % 1.0, 0.7, 0.95)
                     for index in range(len(names)))
            flat = [round(255 * part) for colour in found for part in colour]
        return Legend(tuple(names), tuple(zip(flat[0::3], flat[1::3], flat[2::3])))
