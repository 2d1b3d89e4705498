# SPDX-License-Identifier: Apache-2.0
import json
import math

from shadowtutor_ros.monitor.chart import miou_chart
from shadowtutor_ros.monitor.fleet import Outcome


def test_the_chart_has_a_line_before_and_one_after() -> None:
    chart = miou_chart([Outcome(0.25, 0.5), Outcome(math.nan, 0.66666)])
    assert [series['data'] for series in chart['series']] == [[0.25, None], [0.5, 0.667]]
    assert chart['xAxis']['data'] == ['lesson -1', 'last lesson']
    json.dumps(chart, allow_nan=False)


def test_no_lesson_is_an_empty_chart() -> None:
    assert [series['data'] for series in miou_chart([])['series']] == [[], []]
