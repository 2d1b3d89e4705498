# SPDX-License-Identifier: Apache-2.0
"""The live ROS graph: who is there, who asks whom, whether images come, and what that means."""

from __future__ import annotations

from dataclasses import dataclass, field

from shadowtutor_ros.doctor.finding import Finding, OK, PROBLEM, SERVER, SKIPPED, WARNING
from shadowtutor_ros.doctor.fixes import start

TUTORS, STUDENTS, CAMERAS = 'tutors', 'students', 'cameras'
_SAME = 'if it runs: the same ROS_DOMAIN_ID, RMW_IMPLEMENTATION and network on both machines'
_TUTOR = '/tutor'
_CAMERA, _COMPRESSED = '/camera/image_raw', '/compressed'


@dataclass(frozen=True)
class SeenStudent:
    """
    A student node: the actions it asks, the image topics it subscribes to, its last status.

    ``tutor`` is the node that serves it, by that status.
    ``mismatches`` says of an image topic why its publisher and the student do not fit.
    """

    actions: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    mismatches: dict[str, str] = field(default_factory=dict)
    waiting: bool = False
    detail: str = ''
    tutor: str = ''


@dataclass(frozen=True)
class Graph:
    """
    What was seen in ``seconds``: actions with their tutors, students, cameras by name.

    A camera is an image topic that no student publishes; its value is how many images came, None
    if nobody listened.
    """

    seconds: float
    tutors: dict[str, str] = field(default_factory=dict)
    students: dict[str, SeenStudent] = field(default_factory=dict)
    cameras: dict[str, int | None] = field(default_factory=dict)


def judge_graph(graph: Graph, role: str) -> list[Finding]:
    """Return a finding about the tutors, one about the cameras and one about each student."""
    students = [judge_student(graph, name) for name in sorted(graph.students)]
    if not students:
        students = [Finding(WARNING if role == SERVER else PROBLEM, STUDENTS,
                            f'none seen in {graph.seconds:g} s',
                            f'{_student(graph)}   # on the robot\n{_SAME}')]
    return [judge_tutors(graph), judge_cameras(graph, role), *students]


def judge_tutors(graph: Graph) -> Finding:
    """Judge whether somebody serves the action."""
    if not graph.tutors:
        return Finding(PROBLEM, TUTORS, f'none seen in {graph.seconds:g} s',
                       f'{start("tutor")}   # on the server\n{_SAME}')
    return Finding(OK, TUTORS, ', '.join(sorted(graph.tutors)))


def judge_cameras(graph: Graph, role: str) -> Finding:
    """Judge whether images are published; a server needs none of its own."""
    if not graph.cameras:
        return Finding(SKIPPED if role == SERVER else PROBLEM, CAMERAS,
                       f'no image topic seen in {graph.seconds:g} s',
                       "start the camera's driver\nor without a camera: "
                       + start('replay', image=_CAMERA, source='video.mp4'))
    silent = [topic for topic, count in graph.cameras.items() if count == 0]
    found = ', '.join(topic if count is None else f'{topic} {count / graph.seconds:.1f}/s'
                      for topic, count in sorted(graph.cameras.items()))
    if silent:
        return Finding(WARNING, CAMERAS, f'{found}: no image came on {", ".join(silent)}',
                       "look at the log of the camera's driver, and at the line multicast above")
    return Finding(OK, CAMERAS, found)


def judge_student(graph: Graph, name: str) -> Finding:
    """Judge whether the student ``name`` has a tutor and images."""
    student, what = graph.students[name], f'student {name}'
    lonely = [action for action in student.actions if action not in graph.tutors]
    if lonely and len(lonely) == len(student.actions):
        others = [action.removesuffix('/distill') for action in sorted(graph.tutors)]
        return Finding(
            PROBLEM, what, f'asks {lonely[0]}, which nobody serves',
            start('student', tutor=others[0]) if others else start('tutor') + '   # on the server')
    if student.mismatches:
        topic, reason = next(iter(student.mismatches.items()))
        return Finding(
            PROBLEM, what, f'{topic}: quality of service does not fit: {reason}',
            f'take qos_overrides.{topic}.subscription out of its params_file')
    if deserted := [topic for topic in student.images if topic not in graph.cameras]:
        return Finding(PROBLEM, what, f'subscribes to {deserted[0]}, which nobody publishes',
                       _other_camera(graph, deserted[0]))
    if student.waiting:
        return Finding(WARNING, what, f'waits: {student.detail}',
                       'look at the log of the tutor')
    there = ', '.join(action for action in student.actions if action not in lonely)
    served = f' (served by {student.tutor})' if len(student.actions) > 1 else ''
    found = (f'has {there}{served} and {", ".join(student.images)}'
             + (f'; {student.detail}' if student.detail else ''))
    if lonely:
        return Finding(WARNING, what, f'{found}; nobody serves {", ".join(lonely)}: none would '
                       'take over', start('tutor') + '   # on the other server')
    return Finding(OK, what, found)


def _student(graph: Graph) -> str:
    """Return the command for a student of the tutor and the camera that were seen."""
    tutors = [action.removesuffix('/distill') for action in sorted(graph.tutors)]
    named = {} if not tutors or _TUTOR in tutors else {'tutor': tutors[0]}
    plain = [topic for topic in sorted(graph.cameras) if not topic.endswith(_COMPRESSED)]
    return start('student', image=plain[0] if plain else _CAMERA, **named)


def _other_camera(graph: Graph, wanted: str) -> str:
    if wanted + _COMPRESSED in graph.cameras:
        return 'set image_transport: compressed in its params_file'
    if wanted.removesuffix(_COMPRESSED) in graph.cameras:
        return 'set image_transport: raw in its params_file'
    plain = [topic for topic in sorted(graph.cameras) if not topic.endswith(_COMPRESSED)]
    return start('student', image=plain[0] if plain else _CAMERA)
