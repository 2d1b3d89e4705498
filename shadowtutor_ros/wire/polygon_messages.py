# SPDX-License-Identifier: Apache-2.0
"""Outlines of a mask's pieces to polygons of geometry_msgs, and back."""

from __future__ import annotations

from geometry_msgs.msg import Point32, Polygon
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import RegionOfInterest
from shadowtutor_msgs.msg import MaskPolygon, MaskPolygons
from std_msgs.msg import Header

from shadowtutor_ros.tasks.segmentation.outlines import Outline, outlines_of_mask, Points


def polygons_from_mask(
    mask: NDArray[np.uint8], background: int, header: Header,
) -> MaskPolygons:
    """Return the pieces of HxW class ids but ``background`` as polygons."""
    outlines, left_out = outlines_of_mask(mask, background)
    height, width = mask.shape
    return MaskPolygons(header=header, height=height, width=width, background=background,
                        polygons=[_to_msg(outline) for outline in outlines], left_out=left_out)


def outlines_of(message: MaskPolygons) -> list[Outline]:
    """Return what ``~/polygons`` says, largest first."""
    return [Outline(each.class_id, each.area,
                    (each.box.x_offset, each.box.y_offset, each.box.width, each.box.height),
                    _points(each.edge), tuple(map(_points, each.holes)))
            for each in message.polygons]


def _to_msg(outline: Outline) -> MaskPolygon:
    x, y, width, height = outline.box
    return MaskPolygon(
        class_id=outline.class_id, area=outline.area,
        box=RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height),
        edge=_polygon(outline.edge), holes=[_polygon(hole) for hole in outline.holes])


def _polygon(points: Points) -> Polygon:
    return Polygon(points=[Point32(x=x, y=y) for x, y in points.astype(np.float64).tolist()])


def _points(polygon: Polygon) -> Points:
    places = np.array([(point.x, point.y) for point in polygon.points], np.float64)
    return np.rint(places).astype(np.int32).reshape(-1, 2)
