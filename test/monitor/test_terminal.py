# SPDX-License-Identifier: Apache-2.0
import io
from math import nan
from typing import Any

import pytest
from rich.console import Console
from robots import status
from shadowtutor_msgs.msg import DeviceShare, StreamStatus, TutorStatus

from shadowtutor_ros.monitor.fleet import Fleet
from shadowtutor_ros.monitor.terminal import FleetTables
from shadowtutor_ros.monitor.words import NOTHING

pytestmark = pytest.mark.ros


def printed(fleet: Fleet, width: int = 160, now: float = 4.0, **console: Any) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, **console).print(FleetTables(fleet.view(now)))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def fleet_of(*streams: str, **values: Any) -> Fleet:
    fleet = Fleet()
    for second in range(4):
        for name in streams:
            fleet.hear_student(f'/{name}', status(
                name, frames_processed=25 * second, bytes_up=1000 * second,
                metric=0.25 * (second + 1), updates_applied=second + 1, **values), float(second))
    fleet.hear_tutor('/tutor', TutorStatus(
        active=True, teacher='yolo', device='cuda:0', load=0.42, steps_share=0.25, max_streams=8,
        gpu_memory=3 << 30,
        streams=[StreamStatus(stream_id=name) for name in streams]), 3.0)
    return fleet


def test_a_wide_terminal_shows_everything() -> None:
    lines = printed(fleet_of('robot1', failures=3))
    assert lines[0].split() == [
        'STUDENT', 'STATE', 'TUTOR', 'FPS', 'DROPPED/s', 'ms/FRAME', 'STRIDE', 'STALE', 'mIoU',
        'LAST', 'LESSONS', 'kbit/s', 'UP', 'DOWN', 'TURN', 'ms', 'FAILED']
    assert lines[1].split() == [
        'robot1', 'running', '/tutor', '25.0', '0.0', '12', '8', '0.4', 's', '1.00', '▃▅▆█', '8',
        '0', '420', '3']
    assert lines[4].split() == ['/tutor', 'teaching', 'yolo', 'cuda:0', '1/8', NOTHING, '0', '42',
                                '%', '25', '%', '0', '0', '3.0', 'GiB']


def test_a_narrow_terminal_shows_what_matters_in_one_line_each() -> None:
    lines = printed(fleet_of('robot1', 'robot2'), 80)
    assert lines[0].split() == ['STUDENT', 'STATE', 'FPS', 'STALE', 'mIoU', 'kbit/s', 'UP', 'DOWN']
    assert [line.split()[0] for line in lines if line] == [
        'STUDENT', 'robot1', 'robot2', 'TUTOR', '/tutor']
    assert max(map(len, lines)) <= 80


def test_what_failed_is_said_below() -> None:
    assert printed(fleet_of('robot1', detail='no sign of\nthe tutor'))[-1] == (
        'robot1: no sign of the tutor')


def test_who_shares_frames_is_said_below_the_tables() -> None:
    devices = [DeviceShare(name='/student', state='works', frames=30, service_ms=40.0),
               DeviceShare(name='/helper', state='does\nnot answer', frames=10, service_ms=35.4,
                           link_ms=8.0)]
    assert printed(fleet_of('robot1', share='frames', devices=devices))[-1] == (
        'robot1 sharing (frames): /student 75 % (40 ms a frame), '
        '/helper 25 % (35 ms a frame, 8 ms on the way) does not answer')


def test_of_devices_that_are_measured_no_times_are_said() -> None:
    measured = DeviceShare(name='/student', state='is measured', service_ms=nan, link_ms=nan)
    assert printed(fleet_of('robot1', share='alone: why', devices=[measured]))[-1] == (
        'robot1 sharing (alone: why): /student 0 % is measured')


def test_names_are_neither_markup_nor_terminal_codes() -> None:
    text = '\n'.join(printed(fleet_of('[red]x[/red]', '\x1b[2Jy', detail='[b]z')))
    for shown in ('[red]x[/red] ', '\ufffd[2Jy ', '[red]x[/red]: [b]z'):
        assert shown in text
    assert '\x1b' not in text


def test_silent_ones_are_dim() -> None:
    lines = printed(fleet_of('robot1'), now=20.0, force_terminal=True, color_system='standard')
    assert 'silent 17 s' in lines[1]
    assert lines[1].startswith('\x1b[2mrobot1')


def test_nobody_is_said() -> None:
    assert printed(Fleet()) == ['nobody publishes a status yet']
