# SPDX-License-Identifier: Apache-2.0
import json
import math

from shadowtutor_ros.monitor.chart import miou_chart
from shadowtutor_ros.monitor.fleet import Outcome


def test_the_chart_has_a_line_before_and_one_after() -> None:
    chart = miou_chart([Outcome(0.25, 0.5, 7.0), Outcome(math.nan, 0.66666, 9.5)], 100.0)
    assert [series['data'] for series in chart['series']] == [
        [[107_000, 0.25], [109_500, None]], [[107_000, 0.5], [109_500, 0.667]]]
    assert chart['xAxis']['type'] == 'time'
    json.dumps(chart, allow_nan=False)


def test_no_lesson_is_an_empty_chart() -> None:
    assert [series['data'] for series in miou_chart([])['series']] == [[], []]
