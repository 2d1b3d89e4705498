# SPDX-License-Identifier: Apache-2.0
"""What those who look on learn of nodes that are processes of their own."""

import queue
import signal

import cv2
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
import numpy as np
import pytest
from shadowtutor_msgs.msg import ClassMap, Lesson, StudentStatus, TutorStatus
from system import START, System

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.nodes.qos import LESSONS, STATE
from shadowtutor_ros.wire.messages import stamp_from_msg

pytestmark = pytest.mark.ros


def test_a_monitor_sees_the_student(system: System) -> None:
    seen: queue.Queue[tuple[bytes, str]] = queue.Queue()
    system.collector._node.create_subscription(
        DiagnosticArray, '/diagnostics',
        lambda msg: [seen.put((s.level, s.message)) for s in msg.status], 10)

    def wait_for(level: bytes, words: str) -> None:
        while True:
            found, message = seen.get(timeout=START)
            if found == level and words in message:
                return

    change = system.collector.set_parameters
    system.student(status_period=0.5, nice=1, warn_metric=0.0, goal_timeout=1.0)
    wait_for(DiagnosticStatus.WARN, 'asks /tutor for the first student')
    tutor = system.tutor(teacher_weights=system.endless_labels(), status_period=0.5)
    wait_for(DiagnosticStatus.OK, 'teaches 1 streams')
    replay = system.replay(loop=True)
    wait_for(DiagnosticStatus.OK, 'segments')
    assert change('/student', {'warn_metric': 1.0}, START) == ''
    wait_for(DiagnosticStatus.WARN, 'on the last key frame')
    assert change('/student', {'warn_staleness': 1}, START) == ''
    wait_for(DiagnosticStatus.WARN, 'frames old')
    assert change('/student', {'error_failures': 1}, START) == ''
    tutor.stop(signal.SIGKILL)
    wait_for(DiagnosticStatus.ERROR, 'key frames failed in a row')
    replay.stop(signal.SIGINT)
    wait_for(DiagnosticStatus.STALE, 'no image')


def test_who_comes_late_learns_at_once_what_goes_on(system: System, classes: ClassSet) -> None:
    system.tutor(status_period=60.0)
    system.student(status_period=60.0)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    seen: queue.Queue[ClassMap | StudentStatus] = queue.Queue()
    for node in ('student', 'tutor'):
        system.collector._node.create_subscription(
            ClassMap, f'/{node}/class_map', seen.put, STATE)
        class_map = seen.get(timeout=START)
        assert tuple(class_map.class_names) == classes.names
        assert list(class_map.colours) == [
            part for colour in classes.colours for part in colour]
    system.collector._node.create_subscription(
        StudentStatus, '/student/status', seen.put, STATE)
    assert seen.get(timeout=START).state == StudentStatus.RUNNING


def test_who_comes_late_sees_the_last_lesson(system: System) -> None:
    system.tutor()
    system.student(min_stride=4, max_stride=4, policy='paced')
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace='lockstep', frames=8)
    taught = system.wait(lambda s: s.updates_applied == 2)
    lessons: queue.Queue[Lesson] = queue.Queue()
    system.collector._node.create_subscription(Lesson, '/tutor/lessons', lessons.put, LESSONS)
    lesson = lessons.get(timeout=START)
    assert (lesson.stream_id, lesson.sequence, lesson.metric) == ('test', 2, taught.metric)
    label = cv2.imdecode(np.frombuffer(lesson.label.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(label, system.scene.labels[4])


def test_who_looks_on_at_the_tutor_sees_every_lesson(system: System) -> None:
    lessons: queue.Queue[Lesson] = queue.Queue()
    statuses: queue.Queue[TutorStatus] = queue.Queue()
    node = system.collector._node
    node.create_subscription(Lesson, '/tutor/lessons', lessons.put, LESSONS)
    node.create_subscription(TutorStatus, '/tutor/status', statuses.put, STATE)
    system.tutor(status_period=0.1)
    system.student(min_stride=4, max_stride=4, policy='paced')
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace='lockstep', frames=16, frame_id='left')
    for number in (1, 2, 3):
        lesson = lessons.get(timeout=START)
        assert (lesson.stream_id, lesson.sequence) == ('test', number)
        assert lesson.header.frame_id == 'left'
        assert stamp_from_msg(lesson.header.stamp) == system.scene.stamp(4 * (number - 1))
        label, mask = (cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_UNCHANGED)
                       for picture in (lesson.label, lesson.mask))
        np.testing.assert_array_equal(label, system.scene.labels[4 * (number - 1)])
        assert mask.shape == label.shape
        assert 0.0 <= lesson.metric <= 1.0
    while (status := statuses.get(timeout=START)).key_frames < 4:
        assert status.failures == 0
    stream, = status.streams
    assert (stream.stream_id, stream.key_frames) == ('test', 4)
    assert stream.version == system.wait(lambda s: s.updates_applied == 4).version
    assert (status.teacher, status.device) == ('labels', 'cpu')
    assert 1 <= status.max_streams <= 256
    assert status.stream_memory == 6 * 4 * 483_873 + 2 * 8
