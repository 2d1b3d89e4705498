# SPDX-License-Identifier: Apache-2.0
import math
from typing import Any

import pytest
from robots import status
from shadowtutor_msgs.msg import StreamStatus, StudentStatus, TutorStatus, WorkerStatus

from shadowtutor_ros.monitor import words
from shadowtutor_ros.monitor.fleet import Fleet
from shadowtutor_ros.monitor.words import Level

pytestmark = pytest.mark.ros


def test_the_states_are_the_messages() -> None:
    assert (words.WAITING, words.RUNNING, words.LINK_BUSY, words.LINK_FAILED) == (
        StudentStatus.WAITING, StudentStatus.RUNNING, StudentStatus.LINK_BUSY,
        StudentStatus.LINK_FAILED)


@pytest.mark.parametrize(('idle', 'values', 'expected'), [
    (0.0, {}, ('running', Level.GOOD)),
    (0.0, {'link': StudentStatus.LINK_BUSY}, ('learning', Level.GOOD)),
    (0.0, {'link': StudentStatus.LINK_FAILED}, ('link failed', Level.BAD)),
    (0.0, {'state': StudentStatus.WAITING}, ('no weights', Level.WARN)),
    (0.0, {'state': StudentStatus.INACTIVE}, ('inactive', Level.WARN)),
    (12.0, {'link': StudentStatus.LINK_FAILED}, ('silent 12 s', Level.SILENT))])
def test_a_student_is_in_one_state(
    idle: float, values: dict[str, Any], expected: tuple[str, Level],
) -> None:
    fleet = Fleet()
    fleet.hear_student('/s', status('s', **values), 0.0)
    assert words.student_state(fleet.view(idle).students[0]) == expected


def test_a_silent_tutor_shows_on_its_robots() -> None:
    fleet = Fleet()
    fleet.hear_tutor('/t', TutorStatus(active=True, streams=[StreamStatus(stream_id='s')]), 0.0)
    for stream, expected in (('s', ('tutor silent', Level.WARN)), ('o', ('running', Level.GOOD))):
        fleet.hear_student(f'/{stream}', status(stream), 12.0)
        student, = (s for s in fleet.view(12.0).students if s.stream_id == stream)
        assert words.student_state(student) == expected


@pytest.mark.parametrize(('frames', 'values', 'level'), [
    (20, {}, Level.GOOD), (21, {}, Level.WARN), (41, {}, Level.BAD),
    (41, {'stride': 64}, Level.GOOD), (41, {'updates_applied': 0}, Level.GOOD),
    (41, {'state': StudentStatus.INACTIVE}, Level.GOOD)])
def test_weights_are_old_by_strides(frames: int, values: dict[str, Any], level: Level) -> None:
    assert words.staleness(status('s', staleness_frames=frames, **values)) is level


@pytest.mark.parametrize(('idle', 'values', 'expected'), [
    (0.0, {}, ('idle', Level.GOOD)),
    (0.0, {'load': 0.1}, ('teaching', Level.GOOD)),
    (0.0, {'queued': 1}, ('teaching', Level.GOOD)),
    (0.0, {'detail': 'no memory'}, ('lesson failed', Level.BAD)),
    (0.0, {'detail': 'unconfigured', 'active': False}, ('inactive', Level.WARN)),
    (150.0, {}, ('silent 2 min', Level.SILENT))])
def test_a_tutor_is_in_one_state(
    idle: float, values: dict[str, Any], expected: tuple[str, Level],
) -> None:
    fleet = Fleet()
    fleet.hear_tutor('/t', TutorStatus(**{'active': True, **values}), 0.0)
    assert words.tutor_state(fleet.view(idle).tutors[0]) == expected


@pytest.mark.parametrize(('value', 'text'), [
    (math.nan, '–'), (0.04, '0.0 s'), (9.94, '9.9 s'), (9.96, '10 s'),  # noqa: RUF001
    (119.0, '119 s'), (120.0, '2 min'), (7300.0, '2 h')])
def test_a_duration_has_its_natural_unit(value: float, text: str) -> None:
    assert words.seconds(value) == text


@pytest.mark.parametrize(('stride', 'floor', 'text'), [
    (8, 0, '8'), (40, 40, '40 (tutor)'), (64, 40, '64'), (8, 40, '8 (tutor)')])
def test_a_stride_that_the_tutor_imposes_is_told(stride: int, floor: int, text: str) -> None:
    assert words.stride(status('s', stride=stride, tutor_stride_floor=floor)) == text


def test_unknown_numbers_are_a_dash() -> None:
    assert words.number(math.nan) == words.size(0) == words.NOTHING
    assert words.number(0.756, 2) == '0.76'
    assert (words.size(300 << 20), words.size(3 << 30)) == ('300 MiB', '3.0 GiB')


def test_foreign_text_is_one_line_without_control_characters() -> None:
    assert words.plain(' two\nlines\t\x1b[31mred\x00 ') == 'two lines \ufffd[31mred\ufffd'


def test_a_sparkline_shows_the_last_values() -> None:
    assert words.sparkline([0.5, 0.0, 1.0, math.nan, 7.0], 4) == '▁█ █'
    assert words.sparkline([], 4) == ''


def test_who_of_a_pool_is_where() -> None:
    status = TutorStatus(
        workers=[WorkerStatus(name='worker1', where='gpu7, process 8', ready=True, load=0.5),
                 WorkerStatus(name='worker2')],
        streams=[StreamStatus(stream_id=name, worker='worker1') for name in 'ab'])
    assert words.workers(status) == '1/2'
    assert words.who_is_where(status) == [
        'worker1 (gpu7, process 8): load 50 %, a, b', 'worker2: starts']
    assert (words.workers(TutorStatus()), words.who_is_where(TutorStatus())) == (
        words.NOTHING, [])
