# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
import json
from pathlib import Path

from shadowtutor_ros.demo.summary import Summary

SUMMARY = Summary(
    video='x.mp4', teacher='labels', frames=200, miou=73.5, wild_miou=7.0, key_frames=14,
    key_frame_ratio=7.0, steps_per_key_frame=6.5, bytes_up_per_key_frame=102400.0,
    bytes_down_per_key_frame=204800.0, bytes_per_frame=21504.0,
    naive_raw_bytes_per_frame=3686400.0, naive_jpeg_bytes_per_frame=107520.0, fps=2.0,
    student_cpu_ms_per_frame=71.4, student_memory=350 << 20, tutor_cpu_ms_per_key_frame=2345.0,
    tutor_memory=1100 << 20, failures=0)


def test_the_summary_is_scriptable(tmp_path: Path) -> None:
    path = tmp_path / 'summary.json'
    SUMMARY.write(path)
    assert Summary(**json.loads(path.read_text())) == SUMMARY


def test_the_table_compares_with_naive_offloading() -> None:
    lines = dict(line.strip().split('  ', 1) for line in SUMMARY.table().splitlines())
    assert lines['every frame offloaded as JPEG'].strip() == '105.0 KiB (5.0 x ours)'
    assert lines['key frames'].strip() == '14 (7.0 % of frames)'
    assert lines['same student left alone'].strip() == '7.0 %'


def test_the_table_says_what_robot_and_server_need() -> None:
    table = ' '.join(SUMMARY.table().split())
    assert 'student, CPU per frame 71 ms memory 350 MiB' in table
    assert 'tutor, CPU per key frame 2.3 s memory 1100 MiB' in table


def test_a_run_without_traffic_has_a_table_too() -> None:
    assert 'offloaded raw' in replace(SUMMARY, bytes_per_frame=0.0).table()
