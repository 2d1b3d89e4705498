# SPDX-License-Identifier: Apache-2.0
"""The history of mIoU as an Apache ECharts chart."""

from __future__ import annotations

from collections.abc import Sequence
import math
from typing import Any

from shadowtutor_ros.monitor.fleet import Outcome

# Readable on light and on dark.
_AFTER, _BEFORE, _LINES = '#3987e5', '#9a988f', 'rgba(128, 128, 128, 0.25)'


def miou_chart(history: Sequence[Outcome], epoch: float = 0.0) -> dict[str, Any]:
    """
    Return the options of a chart of mIoU before and after each of the lessons, over the time.

    ``epoch`` is what to add to the lessons' seconds to have those since 1970.
    """
    times = [round(1e3 * (outcome.at + epoch)) for outcome in history]
    return {
        'animation': False,
        'grid': {'left': 28, 'right': 8, 'top': 26, 'bottom': 20},
        'title': {'text': 'mIoU', 'left': 0, 'top': 4, 'padding': 0,
                  'textStyle': {'color': _BEFORE, 'fontSize': 12, 'fontWeight': 'normal'}},
        'legend': {'right': 4, 'top': 0, 'itemWidth': 16, 'itemHeight': 8,
                   'textStyle': {'color': _BEFORE, 'fontSize': 11}},
        'tooltip': {'trigger': 'axis', 'confine': True},
        'xAxis': {'type': 'time', 'splitNumber': 4, 'splitLine': {'show': False},
                  'axisLabel': {'color': _BEFORE, 'fontSize': 11, 'hideOverlap': True},
                  'axisTick': {'show': False}, 'axisLine': {'lineStyle': {'color': _LINES}}},
        'yAxis': {'type': 'value', 'min': 0, 'max': 1, 'interval': 0.5,
                  'axisLabel': {'color': _BEFORE, 'fontSize': 11},
                  'splitLine': {'lineStyle': {'color': _LINES}}},
        'series': [
            _series('before', _BEFORE, 1, times, [outcome.before for outcome in history]),
            _series('after the lesson', _AFTER, 2, times,
                    [outcome.after for outcome in history])],
    }


def _series(
    name: str, colour: str, width: int, times: Sequence[int], values: Sequence[float],
) -> dict[str, Any]:
    return {'name': name, 'type': 'line', 'symbol': 'circle', 'symbolSize': 4,
            'itemStyle': {'color': colour}, 'lineStyle': {'width': width, 'color': colour},
            'data': [[at, None if math.isnan(value) else round(value, 3)]
                     for at, value in zip(times, values, strict=True)]}
