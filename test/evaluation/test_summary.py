# SPDX-License-Identifier: Apache-2.0
import json
import math
from pathlib import Path

import pytest

from shadowtutor_ros.evaluation.record import FrameRecord
from shadowtutor_ros.evaluation.run import Run
from shadowtutor_ros.evaluation.summary import summarise, write_summary

NAN = math.nan
TAUGHT = Run([
    FrameRecord(0, 0.25, [0.0, 0.5], NAN, True, 8, 0.25, 0.5, 1000, 400, t_sd=10.0, t_ti=100.0),
    FrameRecord(1, 0.5, [NAN, 0.5], 1.0, t_si=20.0),
    FrameRecord(2, 0.75, [NAN, 1.0], 2.0, t_si=30.0),
    FrameRecord(3, 0.5, [NAN, 0.0], 3.0, True, 2, 0.7, 0.8, 1000, 400, t_sd=20.0, t_ti=100.0),
    FrameRecord(4, 0.5, [NAN, 0.5], 1.0, True, bytes_up=1000),
])


def test_figures_of_a_taught_run() -> None:
    summary = summarise(TAUGHT, ('person', 'background'), 25.0)
    assert (summary.frames, summary.key_frames) == (5, 3)
    assert summary.miou == pytest.approx(50.0)
    assert summary.key_frame_ratio == pytest.approx(60.0)
    assert summary.steps_per_key_frame == 5.0  # of the two that were answered
    assert (summary.bytes_up, summary.bytes_down) == (3000, 800)
    assert summary.class_iou == pytest.approx({'person': 0.0, 'background': 50.0})
    assert (summary.t_si, summary.t_sd, summary.t_ti) == (25.0, 15.0, 100.0)
    assert summary.seconds == pytest.approx(5 * 0.025 + 10 * 0.015 + 3 * 0.1)
    assert not summary.together
    assert summary.mbps == pytest.approx(8e-6 * 3800 * 5)
    assert summary.bytes_per_key_frame == pytest.approx(3800 / 3)


def test_wall_time_goes_before_the_sum_of_parts() -> None:
    summary = summarise(Run(TAUGHT.records, {}, 2.0), ('person', 'background'), 25.0)
    assert (summary.fps, summary.seconds, summary.together) == (2.5, 2.0, True)


def test_naive_has_no_student() -> None:
    records = [FrameRecord(i, 1.0, [1.0], 0.0, True, t_ti=500.0) for i in range(4)]
    summary = summarise(Run(records), ('background',), 25.0)
    assert (summary.fps, summary.steps_per_key_frame) == (2.0, 0.0)


def test_naive_with_given_labels_has_no_time() -> None:
    summary = summarise(Run([FrameRecord(0, 1.0, [1.0], 0.0, True)]), ('background',), 25.0)
    assert math.isnan(summary.fps)


def test_json_has_null_for_what_is_not_known(tmp_path: Path) -> None:
    summary = summarise(Run([FrameRecord(0, 0.5, [NAN, 0.5], t_si=2.0)]), ('a', 'b'), 25.0)
    path = tmp_path / 'summary.json'
    write_summary(path, {'x.mp4': {'wild': summary}}, {'mode': 'in-process'})
    written = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert written['mode'] == 'in-process'
    figures = written['videos']['x.mp4']['wild']
    assert figures['class_iou'] == {'a': None, 'b': 50.0}
    assert {key: figures[key] for key in (
        'miou', 'key_frame_ratio', 'steps_per_key_frame', 'bytes_up', 'bytes_down', 'frames')} == {
            'miou': 50.0, 'key_frame_ratio': 0.0, 'steps_per_key_frame': 0.0, 'bytes_up': 0,
            'bytes_down': 0, 'frames': 1}
