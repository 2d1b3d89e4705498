# SPDX-License-Identifier: Apache-2.0
"""Outlines, filled, are the mask again."""

from __future__ import annotations

import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.tasks.segmentation.outlines import filled, Outline, outlines_of_mask

BACKGROUND = 3


def mask_of(text: str) -> np.ndarray:
    """Return class ids from lines of digits; dots are background."""
    return np.array([[BACKGROUND if letter == '.' else int(letter) for letter in line]
                     for line in text.split()], np.uint8)


def test_pieces_are_told_apart_by_class_and_place() -> None:
    mask = mask_of("""
        00.....
        00..11.
        ...0.1.
        .2..0..
    """)
    outlines, left_out = outlines_of_mask(mask, BACKGROUND)
    assert left_out == 0
    assert [(each.class_id, each.area, each.box) for each in outlines] == [
        (0, 4, (0, 0, 2, 2)), (1, 3, (4, 1, 2, 2)), (0, 2, (3, 2, 2, 2)), (2, 1, (1, 3, 1, 1))]
    assert sorted(outlines[0].edge.tolist()) == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert outlines[3].edge.tolist() == [[1, 3]]


def test_a_hole_and_what_lies_in_it() -> None:
    mask = mask_of("""
        .......
        .11111.
        .1...1.
        .1.0.1.
        .1...1.
        .11111.
    """)
    (ring, island), left_out = outlines_of_mask(mask, BACKGROUND)
    assert (ring.class_id, ring.area, len(ring.holes), left_out) == (1, 16, 1, 0)
    assert (island.class_id, island.area, island.holes) == (0, 1, ())
    assert ring.points == len(ring.edge) + len(ring.holes[0])
    np.testing.assert_array_equal(filled([ring, island], mask.shape, BACKGROUND), mask)


def test_a_mask_of_nothing_has_none() -> None:
    assert outlines_of_mask(np.full((4, 5), BACKGROUND, np.uint8), BACKGROUND) == ([], 0)


@pytest.mark.parametrize('size', [(1, 1), (1, 30), (30, 1), (7, 9), (40, 50)], ids=str)
def test_filled_outlines_are_the_mask(size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        mask = random.integers(0, 5, size, np.uint8)
        outlines, left_out = outlines_of_mask(mask, BACKGROUND)
        assert left_out == 0
        np.testing.assert_array_equal(filled(outlines, size, BACKGROUND), mask)
        assert sum(each.area for each in outlines) == np.count_nonzero(mask != BACKGROUND)


def test_filled_outlines_are_a_scenes_masks(scene: Scene) -> None:
    for label in scene.labels:
        outlines, _ = outlines_of_mask(label, 8)
        np.testing.assert_array_equal(filled(outlines, label.shape, 8), label)


def test_what_would_be_too_much_is_left_out_and_counted() -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[::2, ::2] = 1  # 500 pieces of a pixel, and around them one piece of many points
    outlines, left_out = outlines_of_mask(mask, BACKGROUND, 100)
    assert [(each.class_id, each.points) for each in outlines] == 100 * [(1, 1)]
    assert left_out == 401


def test_an_outline_counts_its_points() -> None:
    edge = np.zeros((4, 2), np.int32)
    assert Outline(0, 1, (0, 0, 1, 1), edge, (edge[:3], edge[:2])).points == 9
