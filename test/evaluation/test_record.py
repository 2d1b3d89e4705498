# SPDX-License-Identifier: Apache-2.0
import csv
from dataclasses import astuple
import math
from pathlib import Path

from shadowtutor_ros.evaluation.record import FrameRecord, read_records, write_records

RECORDS = [
    FrameRecord(0, 0.1 + 0.2, [1 / 3, math.nan], math.nan, True, 8, 0.1, 0.7, 1000, 2000,
                t_sd=12.5, t_ti=44.0, t_net=303.0),
    FrameRecord(7, 1.0, [1.0, 1.0], 7.0, t_si=143.0),
]


def test_records_survive_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / 'frames.csv'
    write_records(path, RECORDS, ('person', 'background'))
    again = read_records(path)
    assert [repr(astuple(r)) for r in again] == [repr(astuple(r)) for r in RECORDS]


def test_any_tool_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / 'frames.csv'
    write_records(path, RECORDS, ('person', 'background'))
    with path.open(newline='') as file:
        first, second = csv.DictReader(file)
    assert first['key_frame'] == '1'
    assert float(first['iou_person']) == 1 / 3
    assert first['iou_background'] == first['staleness'] == ''
    assert (second['frame'], second['t_si']) == ('7', '143.0')
