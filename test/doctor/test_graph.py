# SPDX-License-Identifier: Apache-2.0
"""What a graph means; test_observer.py sees real ones."""

import pytest

from shadowtutor_ros.doctor.finding import (
    BOTH,
    Finding,
    OK,
    PROBLEM,
    ROBOT,
    SERVER,
    SKIPPED,
    WARNING,
)
from shadowtutor_ros.doctor.graph import (
    Graph,
    judge_cameras,
    judge_graph,
    judge_student,
    judge_tutors,
    SeenStudent,
)

CAMERA = '/camera/image_raw'
TUTORS = {'/tutor/distill': '/tutor'}
HAPPY = SeenStudent(('/tutor/distill',), (CAMERA,))


def of(student: SeenStudent, tutors: dict[str, str] = TUTORS, **cameras: int) -> Finding:
    seen = {CAMERA: 60} if not cameras else {f'/{name}': n for name, n in cameras.items()}
    return judge_student(Graph(2.0, tutors, {'/student': student}, seen), '/student')


def test_a_graph_in_which_all_is_well() -> None:
    graph = Graph(2.0, TUTORS, {'/student': HAPPY}, {CAMERA: 60})
    assert [f.level for f in judge_graph(graph, BOTH)] == [OK] * 3
    assert judge_cameras(graph, BOTH).found == f'{CAMERA} 30.0/s'
    assert of(HAPPY).found == f'has /tutor/distill and {CAMERA}'


@pytest.mark.parametrize(('role', 'levels'), [
    (ROBOT, [PROBLEM, PROBLEM, PROBLEM]), (BOTH, [PROBLEM, PROBLEM, PROBLEM]),
    (SERVER, [PROBLEM, SKIPPED, WARNING])])
def test_an_empty_graph(role: str, levels: list[str]) -> None:
    findings = judge_graph(Graph(2.0), role)
    assert [f.level for f in findings] == levels
    assert all(f.fix for f in findings)


def test_a_tutor_by_another_name_is_proposed() -> None:
    finding = of(HAPPY, {'/gpu/tutor/distill': '/gpu/tutor'})
    assert finding.level == PROBLEM
    assert 'asks /tutor/distill, which nobody serves' in finding.found
    assert 'tutor:=/gpu/tutor' in finding.fix
    assert 'tutor' in of(HAPPY, {}).fix


@pytest.mark.parametrize(('wanted', 'there', 'fix'), [
    ('/image', 'front', 'image:=/front'),
    ('/front', 'front/compressed', 'image_transport: compressed'),
    ('/front/compressed', 'front', 'image_transport: raw')])
def test_a_camera_by_another_name_or_transport_is_proposed(
    wanted: str, there: str, fix: str,
) -> None:
    finding = of(SeenStudent(('/tutor/distill',), (wanted,)), **{there: 9})
    assert finding.level == PROBLEM
    assert f'subscribes to {wanted}, which nobody publishes' in finding.found
    assert fix in finding.fix


def test_a_quality_of_service_that_does_not_fit_is_a_problem() -> None:
    finding = of(SeenStudent(('/tutor/distill',), (CAMERA,), {CAMERA: 'best effort and reliable'}))
    assert finding.level == PROBLEM
    assert 'best effort and reliable' in finding.found
    assert f'qos_overrides.{CAMERA}.subscription' in finding.fix


def test_a_student_that_waits_says_for_what() -> None:
    finding = of(SeenStudent(('/tutor/distill',), waiting=True, detail='asks /tutor'))
    assert (finding.level, finding.found) == (WARNING, 'waits: asks /tutor')


def test_a_silent_camera_is_a_warning_unless_nobody_listened() -> None:
    assert judge_cameras(Graph(2.0, cameras={CAMERA: 0}), ROBOT).level == WARNING
    finding = judge_cameras(Graph(2.0, cameras={CAMERA: None}), SERVER)
    assert (finding.level, finding.found) == (OK, CAMERA)


def test_the_tutors_are_named() -> None:
    assert judge_tutors(Graph(2.0, TUTORS)).found == '/tutor/distill'


def test_the_command_for_a_student_names_the_tutor_and_the_camera_that_are_there() -> None:
    graph = Graph(5.0, {'/hall/tutor/distill': '/hall/tutor'}, {}, {'/front/image': 3})
    _, _, student = judge_graph(graph, ROBOT)
    assert '/hall/tutor' in student.fix
    assert '/front/image' in student.fix
    usual = judge_graph(Graph(5.0, {'/tutor/distill': '/tutor'}), ROBOT)[2]
    assert '/camera/image_raw' in usual.fix
    assert '/tutor' not in usual.fix


def test_a_student_of_two_tutors() -> None:
    both = ('/a/distill', '/b/distill')
    student = SeenStudent(both, (CAMERA,), tutor='/b')
    finding = of(student, {action: action for action in both})
    assert finding.level == OK
    assert finding.found == f'has /a/distill, /b/distill (served by /b) and {CAMERA}'
    finding = of(student, {'/b/distill': '/b'})
    assert finding.level == WARNING
    assert finding.found == (f'has /b/distill (served by /b) and {CAMERA}; '
                             'nobody serves /a/distill: none would take over')
    assert of(student, {}).level == PROBLEM
