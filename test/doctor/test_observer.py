# SPDX-License-Identifier: Apache-2.0
"""Real nodes, seen by the doctor's own node."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
import threading

import pytest
import rclpy
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from scene import Scene
from sensor_msgs.msg import Image

from shadowtutor_ros.doctor.finding import BOTH, Finding, OK, PROBLEM, ROBOT, SERVER
from shadowtutor_ros.doctor.graph import Graph, judge_graph, SeenStudent
from shadowtutor_ros.doctor.observer import observe
from shadowtutor_ros.model.checkpoint import save_checkpoint
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.nodes.student_node import StudentNode
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.nodes.tutor_node import TutorNode
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.messages import header_to_msg

pytestmark = [pytest.mark.ros, pytest.mark.usefixtures('domain_id')]

CAMERA = '/camera/image_raw'
LOOKS, SECONDS = 15, 2.0


@contextmanager
def running(*nodes: Callable[[], Node], parameters: tuple[str, ...] = ()) -> Iterator[None]:
    """Spin the nodes; the student's image is the camera's."""
    given = [word for p in parameters for word in ('-p', p)]
    rclpy.init(args=['--ros-args', '-r', f'image:={CAMERA}', *given])
    made = [make() for make in nodes]
    for node in made:
        if isinstance(node, ManagedNode):
            node.start()
    executor = MultiThreadedExecutor(4)
    for node in made:
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        yield
    finally:
        for node in made:
            if isinstance(node, ManagedNode):
                node.stop()  # while what it says last can still be said
        executor.shutdown()
        thread.join()
        for node in made:
            node.destroy_node()
        rclpy.shutdown()


@pytest.fixture
def checkpoint(tmp_path: Path, info: StudentInfo) -> str:
    path = tmp_path / 'student.safetensors'
    save_checkpoint(Student.random(info, 0), path)
    return f'student:checkpoint:={path}'


@pytest.fixture
def camera(scene: Scene) -> Callable[[], Node]:
    def make() -> Node:
        node = Node('driver')
        publisher = node.create_publisher(
            Image, CAMERA, QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
        message = image_from_array(scene.frames[0], 'bgr8', header_to_msg(0, ''))
        node.create_timer(0.05, lambda: publisher.publish(message))
        return node
    return make


def seen(expected: Callable[[Graph], object], listen: bool = True) -> Graph:
    """Look again until what is ``expected`` is seen: a busy machine is slow to find nodes."""
    for _ in range(LOOKS):
        graph = observe(SECONDS, listen)
        if expected(graph):
            return graph
    raise AssertionError(f'expected something else than {graph}')


def findings(graph: Graph, role: str) -> dict[str, Finding]:
    return {finding.what: finding for finding in judge_graph(graph, role)}


def test_nobody_is_there() -> None:
    graph = observe(0.5, listen=True)
    assert graph == Graph(0.5)
    assert [f.level for f in judge_graph(graph, BOTH)] == [PROBLEM] * 3


def test_a_camera_a_student_and_a_tutor(
    scene: Scene, checkpoint: str, camera: Callable[[], Node],
) -> None:
    teacher = ('tutor:teacher:=labels', f'tutor:teacher_weights:={scene.label_maps}')
    with running(TutorNode, StudentNode, camera, parameters=(*teacher, checkpoint)):
        graph = seen(lambda g: g.tutors and g.cameras.get(CAMERA) and g.students == {
            '/student': SeenStudent(('/tutor/distill',), (CAMERA,), tutor='/tutor')})
    assert graph.tutors == {'/tutor/distill': '/tutor'}
    assert list(graph.cameras) == [CAMERA]  # not the student's masks
    assert [f.level for f in judge_graph(graph, BOTH)] == [OK] * 3


def test_a_student_that_runs_without_a_tutor_and_without_a_camera(checkpoint: str) -> None:
    with running(StudentNode, parameters=(checkpoint,)):
        graph = seen(lambda g: g.students and g.students['/student'].images
                     and g.students['/student'].actions)
    found = findings(graph, ROBOT)
    assert (found['tutors'].level, found['cameras'].level) == (PROBLEM, PROBLEM)
    assert 'asks /tutor/distill, which nobody serves' in found['student /student'].found


def test_a_student_that_waits_for_its_first_weights_says_so_in_its_status(
    camera: Callable[[], Node],
) -> None:
    with running(StudentNode, camera):
        graph = seen(lambda g: g.cameras and g.students and g.students['/student'].waiting,
                     listen=False)
    assert graph.students['/student'].detail == 'asks /tutor for the first student'
    assert graph.cameras == {CAMERA: None}


def test_a_reliable_student_and_a_best_effort_camera_do_not_fit(
    scene: Scene, checkpoint: str, camera: Callable[[], Node],
) -> None:
    teacher = ('tutor:teacher:=labels', f'tutor:teacher_weights:={scene.label_maps}')
    override = f'student:qos_overrides.{CAMERA}.subscription.reliability:=reliable'
    with running(TutorNode, StudentNode, camera, parameters=(*teacher, checkpoint, override)):
        graph = seen(lambda g: g.tutors and g.students and g.students['/student'].mismatches
                     and g.students['/student'].actions, listen=False)
    found = findings(graph, SERVER)
    assert found['student /student'].level == PROBLEM
    assert 'quality of service does not fit' in found['student /student'].found
    assert found['cameras'].level == OK
