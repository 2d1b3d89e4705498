# SPDX-License-Identifier: Apache-2.0
from dataclasses import astuple, replace
import math
from pathlib import Path

import cv2
import pytest

from shadowtutor_ros.evaluation.bounds import Limits, Measured
from shadowtutor_ros.evaluation.report.figures import plot_throughput
from shadowtutor_ros.evaluation.report.report import measured_of
from shadowtutor_ros.evaluation.report.tables import make_tables, Table
from shadowtutor_ros.evaluation.setting import load_settings
from shadowtutor_ros.evaluation.summary import RunSummary

SETTINGS = load_settings(['paper', 'ours'])
RUN = RunSummary(
    miou=72.5, key_frame_ratio=10.0, steps_per_key_frame=3.5, bytes_up=27_648_000,
    bytes_down=4_138_600, frames=100, key_frames=10, class_iou={'person': 50.0, 'bird': math.nan},
    t_si=143.0, t_sd=13.0, t_ti=44.0, t_net=303.0, seconds=15.0, fps=6.67, together=True,
    video_fps=25.0)
SUMMARIES = {video: {s.name: replace(RUN, miou=miou) for s in SETTINGS}
             for video, miou in (('a.mp4', 70.0), ('b.mp4', 75.0))}
PRESENT = {'a.mp4': ['person'], 'b.mp4': ['bird']}


def cell(table: Table, row: str, column: str) -> str:
    (found,) = (r for r in table.rows if r[0].strip() == row)
    return found[table.columns.index(column)]


def test_tables_two_to_seven_stand_beside_the_papers() -> None:
    tables = make_tables(SUMMARIES, SETTINGS, PRESENT)
    assert [t.title.split(':')[0] for t in tables] == [
        'Table 2', 'Table 3', 'Table 4', 'Table 5', 'Table 6', 'Table 7', 'IoU per class, %']
    steps, throughput, data, traffic, accuracy, resampled, classes = tables
    assert cell(steps, 'Mean steps per key frame', 'partial-1') == '3.50'
    assert cell(steps, 'the paper', 'full-1') == '4.44'
    assert cell(throughput, 'a.mp4', 'ours') == '6.67 (15.0)*'
    assert cell(throughput, 'the paper', 'naive') == '2.09'
    assert cell(data, 'To server', 'partial-1') == '2700.0'  # 2,764,800 bytes: Table 4's 2.637
    assert cell(data, 'To client', 'partial-1') == '404.2'
    assert cell(data, 'Total', 'ours') == '3104.2'
    assert [row[-1] for row in traffic.rows if row[0] == '  the paper'] == ['-', '-']
    assert cell(accuracy, 'average', 'ours') == '72.50'
    assert cell(accuracy, 'the paper', 'partial-8') == '71.29'
    assert 'ours' not in resampled.columns
    assert [row[0].strip() for row in classes.rows] == ['a.mp4', 'person', 'b.mp4', 'bird']
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_markdown_is_aligned() -> None:
    lines = make_tables(SUMMARIES, SETTINGS, PRESENT)[4].markdown().splitlines()
    table = [line for line in lines if line.startswith('|')]
    assert len({len(line) for line in table}) == 1
    assert lines[0] == '### Table 6: mIoU, %'


def test_what_a_run_tells_the_bounds() -> None:
    measured = measured_of(RUN)
    assert measured is not None
    assert astuple(measured) == pytest.approx((0.143, 0.013, 0.044, 0.303, 3_178_660))
    assert measured_of(replace(RUN, t_net=math.nan)) == replace(measured, t_net=0.0)
    assert measured_of(replace(RUN, t_ti=math.nan)) is None


def test_throughput_is_drawn_with_measured_points(tmp_path: Path) -> None:
    points = [{'mbps': 40.0, 'fps': 6.1, 'naive_fps': None}]
    measured = Measured(0.143, 0.013, 0.044, 0.01, 3.178e6)
    with_points, without = tmp_path / 'a.png', tmp_path / 'b.png'
    plot_throughput(with_points, 'x', measured, Limits(), 3.7e6, points)
    plot_throughput(without, 'x', measured, Limits(), 3.7e6)
    assert (cv2.imread(str(with_points)) != cv2.imread(str(without))).any()


@pytest.mark.parametrize('names', [['wild'], ['partial-1-7fps'], ['naive', 'wild']])
def test_any_choice_of_settings_has_tables(names: list[str]) -> None:
    settings = load_settings(names)
    tables = make_tables({'a.mp4': {s.name: RUN for s in settings}}, settings, PRESENT)
    assert tables[-1].title.startswith('IoU per class')
