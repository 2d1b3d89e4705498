# SPDX-License-Identifier: Apache-2.0
import math
from types import SimpleNamespace
from typing import Any

from shadowtutor_ros.monitor.fleet import (
    Fleet,
    FORGET_AFTER,
    HISTORY,
    MOST,
    Outcome,
    SILENT_AFTER,
)
from shadowtutor_ros.monitor.legend import Legend

LEGEND = Legend(('car', 'background'), ((1, 2, 3), (0, 0, 0)))


def status(stream_id: str, **values: Any) -> SimpleNamespace:
    return SimpleNamespace(**{
        'stream_id': stream_id, 'metric': math.nan, 'initial_metric': math.nan,
        'updates_applied': 0, 'frames_processed': 0, 'frames_dropped': 0, 'bytes_up': 0,
        'bytes_down': 0, 'tutor': '', **values})


def tutor(*streams: str, idle: float = 0.0) -> SimpleNamespace:
    return SimpleNamespace(streams=[
        SimpleNamespace(stream_id=name, idle_seconds=idle) for name in streams])


def lesson(stream_id: str, sequence: int = 1) -> SimpleNamespace:
    return SimpleNamespace(stream_id=stream_id, sequence=sequence)


def names(fleet: Fleet, now: float) -> list[str]:
    return [student.stream_id for student in fleet.view(now).students]


def test_everybody_is_there_in_the_order_of_names() -> None:
    fleet = Fleet()
    assert fleet.view(0.0).empty
    fleet.hear_student('/b/student', status('b'), 1.0)
    fleet.hear_student('/a/student', status('a'), 2.0)
    fleet.hear_tutor('/tutor', tutor(), 2.5)
    view = fleet.view(3.0)
    assert not view.empty
    assert [(s.node, s.stream_id, s.idle) for s in view.students] == [
        ('/a/student', 'a', 1.0), ('/b/student', 'b', 2.0)]
    assert [(t.node, t.idle) for t in view.tutors] == [('/tutor', 0.5)]


def test_two_students_may_share_a_topic() -> None:
    fleet = Fleet()
    for name in ('host2/student', 'host1/student'):
        fleet.hear_student('/student', status(name), 1.0)
    assert names(fleet, 1.0) == ['host1/student', 'host2/student']


def test_history_has_every_lesson_once() -> None:
    fleet = Fleet()
    for metric, updates in ((math.nan, 0), (0.5, 1), (0.5, 1), (0.5, 2), (0.75, 3), (0.75, 3)):
        fleet.hear_student('/s', status(
            's', metric=metric, initial_metric=metric / 2, updates_applied=updates),
            1.0 + updates)
    assert fleet.view(1.0).students[0].history == (
        Outcome(0.25, 0.5, 2.0), Outcome(0.25, 0.5, 3.0), Outcome(0.375, 0.75, 4.0))


def test_history_is_bounded() -> None:
    fleet = Fleet()
    for updates in range(1, HISTORY + 10):
        fleet.hear_student('/s', status('s', metric=1.0, updates_applied=updates), 1.0)
    assert len(fleet.view(1.0).students[0].history) == HISTORY


def test_a_student_that_says_nothing_is_silent_and_has_no_rates() -> None:
    fleet = Fleet()
    for second in range(4):
        fleet.hear_student('/s', status('s', frames_processed=25 * second), float(second))
    (student,) = fleet.view(3.0 + SILENT_AFTER).students
    assert not student.silent
    assert student.rates.fps == 25.0
    (student,) = fleet.view(3.1 + SILENT_AFTER).students
    assert student.silent
    assert math.isnan(student.rates.fps)


def test_a_tutor_that_says_nothing_is_silent() -> None:
    fleet = Fleet()
    fleet.hear_tutor('/tutor', tutor(), 1.0)
    assert [fleet.view(now).tutors[0].silent for now in (2.0, 1.1 + SILENT_AFTER)] == [False, True]


def test_who_left_the_graph_is_forgotten_after_a_while() -> None:
    fleet = Fleet()
    for node in ('/gone', '/here'):
        fleet.hear_student(node, status(node), 1.0)
        fleet.hear_tutor(f'{node}/tutor', tutor(), 1.0)
    present = {'/here', '/here/tutor'}
    fleet.see(present, 1.0 + FORGET_AFTER)
    assert names(fleet, 1.0 + FORGET_AFTER) == ['/gone', '/here']
    fleet.see(present, 1.1 + FORGET_AFTER)
    assert names(fleet, 1.1 + FORGET_AFTER) == ['/here']
    assert [t.node for t in fleet.view(1.1 + FORGET_AFTER).tutors] == ['/here/tutor']


def test_a_lesson_and_its_tutor_are_joined_by_the_stream() -> None:
    fleet = Fleet()
    fleet.hear_lesson('/tutor', lesson('b', 1), 1.0)
    fleet.hear_lesson('/tutor', lesson('b', 2), 2.0)
    for name in ('a', 'b'):
        fleet.hear_student(f'/{name}', status(name), 2.0)
    fleet.hear_tutor('/tutor', tutor('b'), 2.0)
    a, b = fleet.view(5.0).students
    assert (a.tutor, a.last) == ('', None)
    assert b.tutor == '/tutor'
    assert b.last is not None
    assert (b.last.tutor, b.last.lesson.sequence, b.last.age) == ('/tutor', 2, 3.0)


def test_of_two_tutors_that_taught_it_a_student_says_which_one_serves() -> None:
    fleet = Fleet()
    for name in ('/a', '/b'):
        fleet.hear_tutor(name, tutor('s'), 1.0)
    for serving in ('/a', '/b'):
        fleet.hear_student('/s', status('s', tutor=serving), 1.0)
        student, = fleet.view(2.0).students
        assert student.tutor == serving
    fleet.hear_student('/s', status('s', tutor='/remapped'), 1.0)
    student, = fleet.view(2.0).students
    assert student.tutor in ('/a', '/b')


def test_the_legend_is_the_tutors_else_the_students() -> None:
    fleet = Fleet()
    fleet.hear_student('/s', status('s'), 1.0)
    fleet.hear_lesson('/tutor', lesson('s'), 1.0)
    other = Legend(('bus', 'background'), LEGEND.colours)

    def legend() -> Legend | None:
        last = fleet.view(1.0).students[0].last
        assert last is not None
        return last.legend

    assert legend() is None
    fleet.hear_legend('/s', LEGEND)
    assert legend() == LEGEND
    fleet.hear_legend('/tutor', other)
    assert legend() == other
    fleet.see({'/s', '/tutor'}, 1.0)
    assert legend() == other
    fleet.see({'/s'}, 1.0)
    assert legend() == LEGEND


def test_names_without_end_do_not_fill_the_memory() -> None:
    fleet = Fleet()
    for number in range(MOST + 5):
        fleet.hear_student('/s', status(f'{number:04}'), float(number))
        fleet.hear_lesson('/tutor', lesson(f'{number:04}'), float(number))
    students = fleet.view(MOST + 5.0).students
    assert [s.stream_id for s in students] == [f'{n:04}' for n in range(5, MOST + 5)]
    assert all(student.last for student in students)
    assert len(fleet._lessons) == MOST


def test_a_lesson_that_is_heard_of_late_is_as_old_as_its_stream_is_idle() -> None:
    fleet = Fleet()
    fleet.hear_student('/a/student', status('a'), 0.0)
    fleet.hear_tutor('/tutor', tutor('a', idle=40.0), 1.0)
    fleet.hear_lesson('/tutor', lesson('a'), 2.0)
    student, = fleet.view(4.0).students
    assert student.last is not None
    assert student.last.age == 43.0
    fleet.hear_tutor('/tutor', tutor('a', idle=0.5), 5.0)  # it asks again
    student, = fleet.view(5.0).students
    assert student.last is not None
    assert student.last.age == 3.0


def test_what_a_student_sees_is_shown_while_it_is_new() -> None:
    fleet = Fleet()
    fleet.hear_student('/a/student', status('a'), 0.0)
    assert fleet.view(0.0).students[0].preview is None
    fleet.hear_preview('/a/student', 'picture', 1.0)
    fleet.hear_preview('/b/student', 'another', 1.0)
    assert fleet.view(1.0 + SILENT_AFTER).students[0].preview == 'picture'
    assert fleet.view(1.1 + SILENT_AFTER).students[0].preview is None
    fleet.see({'/a/student'}, 2.0)
    fleet.hear_student('/b/student', status('b'), 3.0)
    assert fleet.view(3.0).students[1].preview is None
    for number in range(MOST + 1):
        fleet.hear_preview(f'/{number}', number, 3.0)
    assert fleet.view(3.0).students[0].preview is None  # the oldest goes
