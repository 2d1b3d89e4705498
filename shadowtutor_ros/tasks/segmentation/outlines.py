# SPDX-License-Identifier: Apache-2.0
"""The connected pieces of a mask by their outlines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 20_000  # an untaught student's mask may have an outline around every pixel

Points = NDArray[np.int32]  # Nx2, x and y


@dataclass(frozen=True)
class Outline:
    """
    One piece of one class, whose pixels touch at their sides or corners.

    ``edge`` goes through the centres of its outermost pixels, ``holes`` through those around each
    hole; both are closed and Nx2, x and y. ``area`` is in pixels, ``box`` is x, y, width and
    height.
    """

    class_id: int
    area: int
    box: tuple[int, int, int, int]
    edge: Points
    holes: tuple[Points, ...] = ()

    @property
    def points(self) -> int:
        """How many points describe it."""
        return len(self.edge) + sum(map(len, self.holes))


def outlines_of_mask(
    mask: NDArray[np.uint8], background: int, most_points: int = MOST_POINTS,
) -> tuple[list[Outline], int]:
    """
    Return the pieces of HxW class ids but ``background``, largest first.

    Behind them: how many are left out, because they would bring more than ``most_points`` points.
    """
    found = sorted((outline for class_id in np.flatnonzero(np.bincount(mask.ravel())).tolist()
                    if class_id != background for outline in _pieces(mask, class_id)),
                   key=lambda outline: -outline.area)
    kept, room = [], most_points
    for outline in found:
        if outline.points <= room:
            kept.append(outline)
            room -= outline.points
    return kept, len(found) - len(kept)


def filled(
    outlines: Iterable[Outline], size: tuple[int, int], background: int,
) -> NDArray[np.uint8]:
    """Return the class ids of ``size`` (H, W) whose pieces ``outlines`` are."""
    mask = np.full(size, background, np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [outline.edge, *outline.holes], outline.class_id)
    return mask


def _pieces(mask: NDArray[np.uint8], class_id: int) -> Iterator[Outline]:
    own = (mask == class_id).view(np.uint8)
    edges, tree = cv2.findContours(own, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(own, connectivity=8)
    points = [edge[:, 0] for edge in edges]
    holes: dict[int, list[Points]] = {}
    for edge, (_, _, _, around) in zip(points, tree[0]):
        if around >= 0:
            holes.setdefault(int(around), []).append(edge)
    for index, edge in enumerate(points):
        if tree[0][index][3] < 0:
            x, y, width, height, area = statistics[labels[edge[0, 1], edge[0, 0]]].tolist()
            yield Outline(class_id, area, (x, y, width, height), edge,
                          tuple(holes.get(index, ())))
