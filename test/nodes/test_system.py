# SPDX-License-Identifier: Apache-2.0
"""Tutor, student and replay as processes of their own, over DDS."""

from collections.abc import Callable
import math
from pathlib import Path
import queue
import signal

import numpy as np
import pytest
from robots import wait_until
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import ClassMap, StudentStatus
from system import CAMERA, START, System
import torch
import yaml

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.harness.processes import NodeProcess, ProcessDied
from shadowtutor_ros.model.checkpoint import save_checkpoint
from shadowtutor_ros.model.groups import FULL, PARTIAL
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.nodes.qos import REQUEST, STATE
from shadowtutor_ros.runtime.library import LIBRARY
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.student import KeyFrameSettings, student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.wire.encoder import WeightSettings

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ('key_frame_format', 'weight_encoding', 'delay', 'cold_start_group'),
    [('webp', 'delta-dct', 1, FULL), ('raw', 'fp32', 2, PARTIAL)])
def test_the_masks_are_those_of_one_process_bit_for_bit(
    system: System, classes: ClassSet, info: StudentInfo, key_frame_format: str,
    weight_encoding: str, delay: int, cold_start_group: str,
) -> None:
    scene = system.scene
    tutor = Tutor(LabelsTeacher(scene.label_maps, classes, scene.fps), Student.random(info, 7),
                  TutorSettings(DistillSettings(max_updates=4, cold_start_updates=4,
                                                cold_start_group=cold_start_group),
                                WeightSettings(weight_encoding), library=LIBRARY))
    first = tutor.first_student('test')
    loop = StudentLoop(
        student_from_update(first, info),
        Scheduler(ScheduleSettings(2, 8, policy=PACED, update_delay=delay)), LocalLink(tutor),
        'test', KeyFrameSettings(key_frame_format), first.session_id, first.version)
    expected = []
    for index, frame in enumerate(scene.frames):
        expected.append(loop.segment(frame, scene.stamp(index)))
        loop.settle()

    system.tutor(seed=7, weight_encoding=weight_encoding, cold_start_group=cold_start_group)
    system.student(policy='paced', min_stride=2, max_stride=8, update_delay=delay,
                   goal_timeout=START, key_frame_format=key_frame_format)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace='lockstep')
    received = system.masks(len(expected))
    for index, (stamp, mask) in enumerate(received):
        assert stamp == scene.stamp(index)
        np.testing.assert_array_equal(mask, expected[index], f'frame {index}')
    status = system.wait(lambda s: (s.frames_processed, s.updates_applied)
                         == (len(expected), loop.counters.updates_applied))
    for name in ('key_frames', 'distillation_steps', 'bytes_up', 'bytes_down', 'failures'):
        assert getattr(status, name) == getattr(loop.counters, name), name
    assert status.failures == 0
    assert status.key_frames > 5


def test_the_student_survives_its_tutor_and_learns_from_the_next(system: System) -> None:
    labels = system.endless_labels()
    tutor = system.tutor(teacher_weights=labels)
    system.student(min_stride=2, max_stride=4, goal_timeout=1.0)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    before = system.wait(lambda s: s.updates_applied >= 2)

    assert tutor.stop(signal.SIGKILL) == -signal.SIGKILL
    failed = system.wait(lambda s: s.link == StudentStatus.LINK_FAILED)
    assert 'tutor' in failed.detail
    alone = system.wait(lambda s: s.frames_processed >= failed.frames_processed + 20)
    assert alone.updates_applied == failed.updates_applied
    assert alone.session_id == before.session_id

    system.tutor(teacher_weights=labels)
    healed = system.wait(lambda s: s.updates_applied >= failed.updates_applied + 2)
    # The next one knows nothing of it, and goes on from what it has handed up.
    assert (healed.session_id, healed.updates_rejected) == (before.session_id, 0)
    assert healed.version > alone.version + 1000


@pytest.mark.parametrize('names', [
    ('forklift', 'pallet', 'crate', 'door', 'dog', 'horse', 'elephant', 'person', 'nothing'),
    ('forklift', 'pallet', 'crate', 'door', 'dog', 'horse', 'elephant', 'person', 'shelf',
     'nothing')], ids=['same count', 'another count'])
def test_a_student_takes_over_the_classes_of_the_next_tutor(
    system: System, classes: ClassSet, tmp_path: Path, names: tuple[str, ...],
) -> None:
    class_set = tmp_path / 'warehouse.yaml'
    class_set.write_text(yaml.safe_dump({
        'name': 'warehouse', 'background': {'name': names[-1], 'colour': [0, 0, 0]},
        'classes': [{'name': name, 'colour': [k, k, k], 'coco': []}
                    for k, name in enumerate(names[:-1])]}))
    class_maps: queue.Queue[ClassMap] = queue.Queue()
    system.collector._node.create_subscription(
        ClassMap, '/student/class_map', class_maps.put, STATE)
    labels = system.endless_labels()
    tutor = system.tutor(teacher_weights=labels)
    system.student(min_stride=2, max_stride=4)
    assert tuple(class_maps.get(timeout=START).class_names) == classes.names
    system.replay(loop=True)
    before = system.wait(lambda s: s.updates_applied >= 2)

    tutor.stop(signal.SIGKILL)
    system.tutor(teacher_weights=labels, classes=str(class_set))
    assert tuple(class_maps.get(timeout=START).class_names) == names
    after = system.wait(lambda s: s.updates_applied >= before.updates_applied + 2
                        and s.session_id != before.session_id and not s.detail)
    assert after.frames_processed > before.frames_processed
    assert after.updates_rejected >= 1
    details = {s.detail for s in system.collector.statuses if 'LayoutMismatch' in s.detail}
    assert any('asks /tutor for the student that it teaches' in detail for detail in details)
    assert class_maps.empty()


def test_robots_of_one_name_share_no_topic_for_pieces(system: System) -> None:
    system.tutor()
    for stream_id in ('a', 'b'):
        system.student(stream_id=stream_id)
    system.wait(lambda s: {'a', 'b'} == {
        s.stream_id for s in system.collector.statuses if s.state == StudentStatus.RUNNING})
    node = system.collector._node

    def pieces() -> list[str]:
        return [name for name, _ in node.get_topic_names_and_types() if '/channel/' in name]

    wait_until(lambda: len(pieces()) == 2 * 4, START)
    for name in pieces():
        wait_until(lambda name=name: (
            node.count_publishers(name), node.count_subscribers(name)) == (1, 1), START)
    log = system.logs / 'student_node.log'  # of both
    wait_until(lambda: log.read_text().count('another node is named /student') == 2, START)


def test_a_second_robot_of_a_stream_is_refused_and_says_why(system: System) -> None:
    system.tutor(teacher_weights=system.endless_labels())
    system.student(min_stride=2, max_stride=4)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    before = system.wait(lambda s: s.updates_applied >= 1)

    statuses: queue.Queue[StudentStatus] = queue.Queue()
    system.collector._node.create_subscription(
        StudentStatus, '/second/student/status', statuses.put, STATE)
    system._start('student_node', {'stream_id': 'test', 'threads': 1, 'status_period': 0.1},
                  {'image': CAMERA, '__ns': '/second'})
    while 'belongs to another robot' not in (status := statuses.get(timeout=START)).detail:
        assert status.state != StudentStatus.RUNNING
    assert status.detail.startswith('first student refused: StreamTaken')
    assert status.state == StudentStatus.WAITING
    assert 'belongs to another robot' in (system.logs / 'student_node.log').read_text()
    system.wait(lambda s: s.updates_applied >= before.updates_applied + 3)
    assert system.collector.status is not None
    assert system.collector.status.failures == 0


def test_a_student_with_a_checkpoint_needs_no_tutor(
    system: System, info: StudentInfo, tmp_path: Path,
) -> None:
    student = Student.random(info, 3)
    path = tmp_path / 'student.safetensors'
    save_checkpoint(student, path)
    system.student(checkpoint=str(path))
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace='lockstep', frames=5)
    torch.set_num_threads(1)
    for (_, mask), frame in zip(system.masks(5), system.scene.frames):
        np.testing.assert_array_equal(mask, student.segment(frame))
    status = system.wait(lambda s: s.frames_processed == 5)
    assert 'no tutor at /tutor/distill' in status.detail
    assert (status.link, status.session_id) == (StudentStatus.LINK_FAILED, 0)


def test_a_student_without_anything_says_what_it_waits_for(system: System) -> None:
    system.student()
    status = system.wait(lambda s: s.state == StudentStatus.WAITING)
    assert status.detail == 'asks /tutor for the first student'
    system.tutor()
    system.wait(lambda s: s.state == StudentStatus.RUNNING)


def feedback(system: System) -> queue.Queue[int]:
    """Return what will hold the phases of which the tutor gives signs of life."""
    heard: queue.Queue[int] = queue.Queue()
    system.collector._node.create_subscription(
        Distill.Impl.FeedbackMessage, '/tutor/distill/_action/feedback',
        lambda message: heard.put(message.feedback.phase), REQUEST)
    return heard


def test_a_tutor_that_ends_tells_the_robot_that_waits_for_it(system: System) -> None:
    heard = feedback(system)
    tutor = system.tutor(threshold=0.99, cold_start_updates=1000,
                         teacher_weights=system.endless_labels())
    system.student(goal_timeout=10 * START)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    while heard.get(timeout=START) != Distill.Feedback.TRAINING:
        pass
    assert tutor.stop(signal.SIGINT) == 0
    system.wait(lambda s: s.failures >= 1)
    assert any('the tutor was deactivated' in s.detail for s in system.collector.statuses)


def test_nodes_on_simulated_time_do_not_wait_for_its_clock(system: System) -> None:
    system.tutor(use_sim_time=True, teacher_weights=system.endless_labels())
    system.student(use_sim_time=True)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    system.wait(lambda s: s.updates_applied >= 1)


@pytest.mark.parametrize(('start', 'message'), [
    (lambda s: s.tutor(teacher_weights='/nowhere'), '/nowhere: expected a folder'),
    (lambda s: s.tutor(teacher='oracle'), 'teacher: expected one of'),
    (lambda s: s.tutor(classes='lvs9'), 'lvs9.yaml'),
    (lambda s: s.student(checkpoint='/nowhere.safetensors'), 'no such student checkpoint'),
    (lambda s: s.student(min_stride=9, max_stride=8), '1 <= min_stride <= max_stride'),
    (lambda s: s.student(speed=1), "unknown parameter 'speed'"),
    (lambda s: s.student(stream_id=129 * 'x'), 'expected at most 128 bytes, got 129'),
    (lambda s: s.student(precision='fp16'), 'precision fp16 needs a GPU'),
    (lambda s: s.student(cpus='0-4096'), 'are not among the CPUs'),
    (lambda s: s.replay(source='/nowhere.avi'), 'no such video file'),
])
def test_a_node_that_cannot_start_says_why(
    system: System, start: Callable[[System], NodeProcess], message: str,
) -> None:
    process = start(system)
    assert process._process is not None
    assert process._process.wait(START) == 1
    with pytest.raises(ProcessDied) as error:
        process.check()
    assert message in str(error.value)
    assert 'Traceback' not in str(error.value)


def test_the_tutor_gives_signs_of_life_throughout_a_long_training(system: System) -> None:
    heard = feedback(system)
    system.tutor(threshold=0.99, cold_start_updates=1000,
                 teacher_weights=system.endless_labels())
    system.student(min_stride=2, max_stride=2, goal_timeout=1.5)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    status = system.wait(lambda s: s.updates_applied == 1)
    assert status.failures == 0
    signs = [heard.get_nowait() for _ in range(heard.qsize())].count(Distill.Feedback.TRAINING)
    assert signs > status.training_ms / 500  # two a second and more


@pytest.mark.usefixtures('cold_nodes')
@pytest.mark.parametrize('sign', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_every_node_at_once_and_in_silence(
    system: System, sign: signal.Signals,
) -> None:
    tutor = system.tutor(threshold=0.99, cold_start_updates=1000,
                         teacher_weights=system.endless_labels())
    student = system.student()
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    replay = system.replay(loop=True)
    system.wait(lambda s: s.key_frames == 1 and s.frames_processed > 10)
    for process in (replay, student, tutor):  # the tutor is in the middle of its training
        assert process.stop(sign) == 0, process.log.read_text()
        assert 'Traceback' not in process.log.read_text()


def test_parameters_can_be_asked_for_while_a_node_works(system: System) -> None:
    system.tutor(teacher_weights=system.endless_labels())
    system.student()
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    system.wait(lambda s: s.updates_applied >= 1)
    for node, name, value in (('/student', 'min_stride', 8), ('/tutor', 'max_updates', 4),
                              ('/replay', 'loop', True), ('/student', 'use_sim_time', False)):
        assert system.collector.parameter(node, name, START) == value


@pytest.mark.parametrize(('pace', 'count'), [('lockstep', 300), ('rate', 40)])
def test_every_mask_is_of_the_frame_whose_stamp_it_has(
    system: System, info: StudentInfo, tmp_path: Path, pace: str, count: int,
) -> None:
    student = Student.random(info, 3)
    path = tmp_path / 'student.safetensors'
    save_checkpoint(student, path)
    expected = [student.segment(frame) for frame in system.scene.frames]
    assert len({mask.tobytes() for mask in expected}) == len(expected)
    system.student(checkpoint=str(path), goal_timeout=START)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace=pace, loop=True, fps=100.0)  # faster than a student, who then drops some
    last = -1
    for received, (stamp, mask) in enumerate(system.masks(count)):
        index = round(stamp * 100e-9)
        assert stamp == round(index * 1e9 / 100)
        assert index == received if pace == 'lockstep' else index > last
        last = index
        np.testing.assert_array_equal(mask, expected[index % len(expected)])


def test_live_parameters_change_while_the_node_works(system: System) -> None:
    system.tutor(teacher_weights=system.endless_labels())
    system.student(policy='live', min_stride=8, max_stride=64)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    system.wait(lambda s: s.updates_applied >= 1)
    change = system.collector.set_parameters
    assert change('/student', {
        'min_stride': 3, 'max_stride': 3, 'key_frame_quality': 60}, START) == ''
    system.wait(lambda s: s.stride == 3 and s.jpeg_quality == 60)
    reason = change('/student', {'min_stride': 9, 'threshold': 0.5}, START)
    assert reason == 'expected 1 <= min_stride <= max_stride, got 9 and 3'
    assert system.collector.parameter('/student', 'threshold', START) == 0.9
    assert 'read-only' in change('/student', {'tutor': '/other'}, START)
    assert change('/tutor', {'max_updates': 1, 'threshold': 0.98}, START) == ''
    applied = system.wait(lambda s: True).updates_applied
    system.wait(lambda s: s.updates_applied > applied + 1 and s.steps == 1)
    system.wait(lambda s: not math.isnan(s.goodput_kbps))
    assert change('/student', {'adaptive': False}, START) == ''
    system.wait(lambda s: math.isnan(s.goodput_kbps))
