# SPDX-License-Identifier: Apache-2.0
"""Strangers on the graph of a robot and its tutor, who share a key."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
import secrets
import threading
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.action import ActionClient, ActionServer, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import Piece, PieceReport, StudentStatus
from shadowtutor_msgs.srv import GetStudent
from system import START, System

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.runtime.library import LIBRARY
from shadowtutor_ros.runtime.link import LocalLink
from shadowtutor_ros.runtime.stream import FirstStudent, Stream
from shadowtutor_ros.runtime.student import student_from_update, StudentLoop
from shadowtutor_ros.runtime.tutor import Tutor, TutorSettings
from shadowtutor_ros.schedule.scheduler import PACED, Scheduler, ScheduleSettings
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.transfer.pieces import Piece as PlainPiece, PIECE_BYTES, piece_count
from shadowtutor_ros.wire.encoder import WeightSettings
from shadowtutor_ros.wire.messages import fill_info, update_to_msg
from shadowtutor_ros.wire.piece_messages import piece_to_msg, update_to_bytes
from shadowtutor_ros.wire.seal import answer_to, UNKEYED
from shadowtutor_ros.wire.update import StudentUpdate

pytestmark = pytest.mark.ros

SHARE = 25  # forged and replayed pieces for every transfer that is seen


class Stranger:
    """
    Sees all that the robot and the tutor publish, and answers in both names.

    It has everything but the key: it is a second /tutor, puts its own student and old pieces into
    every transfer, says that pieces have arrived, and repeats the robot's goals to the tutor.
    """

    def __init__(self, context: Context, info: StudentInfo) -> None:
        self.done: Counter[str] = Counter()
        self._info = info
        self._student = Stream('test', FirstStudent(Student.random(info, 99), WeightSettings()),
                               WeightSettings()).whole()
        self._node = node = rclpy.create_node('stranger', context=context)
        group = ReentrantCallbackGroup()
        self._server = ActionServer(
            node, Distill, '/tutor/distill', self._teach, goal_callback=self._on_goal,
            callback_group=group, goal_service_qos_profile=qos.REQUEST,
            result_service_qos_profile=qos.REQUEST)
        node.create_service(GetStudent, '/tutor/get_student', self._give, callback_group=group)
        self._client = ActionClient(node, Distill, '/tutor/distill', callback_group=group)
        self._lock = threading.Lock()
        self._questions: dict[int, Distill.Goal] = {}  # by their transfer
        self._old: list[tuple[str, Piece]] = []
        self._met: set[str] = set()
        self._seen: set[tuple[str, int]] = set()
        self._pubs: dict[str, Any] = {}
        node.create_timer(0.05, self._meet)
        self._executor = MultiThreadedExecutor(4, context=context)
        self._executor.add_node(node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(START)
        self._executor.shutdown()
        self._server.destroy()
        self._client.destroy()
        self._node.destroy_node()

    def _spin(self) -> None:
        while not self._ended.is_set():
            self._executor.spin_once(0.1)

    # -- a second tutor ------------------------------------------------------------------------

    def _on_goal(self, goal: Distill.Goal) -> GoalResponse:
        with self._lock:
            if goal.transfer in self._questions:  # its own repetition
                return GoalResponse.REJECT
            self._questions[goal.transfer] = deepcopy(goal)
            older = list(self._questions.values())
        for question in older[-2:]:  # the robot's own, as it was, and with another picture
            self._client.send_goal_async(question)
            changed = deepcopy(question)
            changed.moment, changed.sequence = 2**63, 1000
            self._client.send_goal_async(UNKEYED.sign(changed))
            self.done['goals'] += 2
        return GoalResponse.REJECT if goal.sequence % 3 == 0 else GoalResponse.ACCEPT

    def _teach(self, handle: Any) -> Distill.Result:
        handle.succeed()
        self.done['results'] += 1
        question = answer_to(handle.request)
        return UNKEYED.sign(Distill.Result(update=update_to_msg(
            self._evil(handle.request), UNKEYED, question)), question)

    def _give(
        self, request: GetStudent.Request, response: GetStudent.Response,
    ) -> GetStudent.Response:
        self.done['students'] += 1
        question = answer_to(request)
        response.student = update_to_msg(self._student, UNKEYED, question)
        return UNKEYED.sign(fill_info(response, self._info), question)

    def _evil(self, goal: Distill.Goal) -> StudentUpdate:
        """Its own student, as the next version of the robot's session or as another session."""
        same = goal.sequence % 2
        return replace(self._student, sequence=goal.sequence,
                       session_id=goal.session_id if same else self._student.session_id,
                       version=2**32 - 1 if same else 1, metric=1.0)

    # -- among the pieces ----------------------------------------------------------------------

    def _meet(self) -> None:
        for name, _ in self._node.get_topic_names_and_types():
            if '/channel/' not in name or name in self._met:
                continue
            self._met.add(name)
            kind = PieceReport if name.endswith('_report') else Piece
            self._pubs[name] = self._node.create_publisher(kind, name, qos.PIECES)
            if kind is Piece:
                self._node.create_subscription(
                    Piece, name, lambda piece, name=name: self._on_piece(name, piece),
                    qos.PIECES)

    def _on_piece(self, name: str, piece: Piece) -> None:
        if piece.transfer >> 48 == 0xEEEE:
            return
        with self._lock:
            new = (name, piece.transfer) not in self._seen
            self._seen.add((name, piece.transfer))
            old = self._old[-SHARE:]
            self._old.append((name, piece))
            question = self._questions.get(piece.transfer)
        self._report(name, piece)
        if not new:
            return
        for other, again in reversed(old):  # replayed, and as if they were of this transfer
            mixed = deepcopy(again)
            mixed.transfer, mixed.size = piece.transfer, piece.size
            for what, forged in ('replayed', again), ('mixed', mixed):
                self._send(what, other, forged)
            self._send('crossed', name, again)
        if question is None:
            return
        data = update_to_bytes(self._evil(question), UNKEYED, answer_to(question))
        for index in range(min(SHARE, piece_count(len(data)))):
            part = data[index * PIECE_BYTES:(index + 1) * PIECE_BYTES]
            for transfer in piece.transfer, 0xEEEE << 48 | secrets.randbits(48):
                plain = PlainPiece(transfer, len(data), index, index + 1, True, part)
                self._send('forged', name, piece_to_msg(plain, UNKEYED, name.encode()))

    def _report(self, name: str, piece: Piece) -> None:
        topic = f'{name}_report'
        if topic in self._pubs:
            self._send('reports', topic, UNKEYED.sign(PieceReport(
                transfer=piece.transfer, newest=piece.order,
                first_missing=piece_count(piece.size), received=array('B')), name.encode()))

    def _send(self, what: str, topic: str, message: Piece | PieceReport) -> None:
        self.done[what] += 1
        self._pubs[topic].publish(message)


@pytest.fixture
def stranger(context: Context, info: StudentInfo) -> Iterator[Stranger]:
    stranger = Stranger(context, info)
    yield stranger
    stranger.close()


def test_with_a_key_strangers_change_no_weight_and_stop_no_lesson(
    system: System, classes: ClassSet, info: StudentInfo, tmp_path: Path, stranger: Stranger,
) -> None:
    """More than 1,000 forged messages: the masks are those of a robot and a tutor left alone."""
    key = tmp_path / 'link.key'
    key.write_text(secrets.token_hex(32))
    scene, rounds = system.scene, 2
    tutor = Tutor(LabelsTeacher(Path(labels := system.endless_labels()), classes, scene.fps),
                  Student.random(info, 7), TutorSettings(
                      DistillSettings(max_updates=4, cold_start_updates=4), library=LIBRARY))
    first = tutor.first_student('test')
    loop = StudentLoop(
        student_from_update(first, info),
        Scheduler(ScheduleSettings(2, 4, policy=PACED, update_delay=1)), LocalLink(tutor),
        'test', session_id=first.session_id, version=first.version)
    expected = []
    for index in range(rounds * len(scene.frames)):
        expected.append(loop.segment(scene.frames[index % len(scene.frames)], scene.stamp(index)))
        loop.settle()

    system.tutor(seed=7, teacher_weights=labels, link_key_file=str(key))
    system.student(policy='paced', min_stride=2, max_stride=4, update_delay=1,
                   goal_timeout=START, link_key_file=str(key))
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(pace='lockstep', frames=len(expected), loop=True)
    for index, (stamp, mask) in enumerate(system.masks(len(expected))):
        assert stamp == scene.stamp(index)
        np.testing.assert_array_equal(mask, expected[index], f'frame {index}')
    status = system.wait(lambda s: (s.frames_processed, s.updates_applied)
                         == (len(expected), loop.counters.updates_applied))
    assert (status.failures, status.updates_rejected) == (0, 0)
    assert '2 nodes offer /tutor/distill' in system.wait(lambda s: 'offer' in s.detail).detail
    assert stranger.done.total() > 1000, stranger.done
    assert set(stranger.done) >= {  # whether 'students' is in time is the discovery's affair
        'goals', 'replayed', 'mixed', 'crossed', 'forged', 'reports'}


def test_without_a_key_nothing_is_taken_while_two_tutors_answer(
    system: System, info: StudentInfo, context: Context,
) -> None:
    """The robot says so, keeps its weights, and learns again when there is one."""
    system.tutor(teacher_weights=system.endless_labels())
    system.student(min_stride=2, max_stride=4, goal_timeout=5.0)
    system.wait(lambda s: s.state == StudentStatus.RUNNING)
    system.replay(loop=True)
    before = system.wait(lambda s: s.updates_applied >= 2)
    stranger = Stranger(context, info)
    try:
        said = system.wait(lambda s: 'more than one node answers as /tutor/distill' in s.detail)
        failed = system.wait(lambda s: s.failures >= said.failures + 3)
        for status in said, failed:
            assert status.session_id == before.session_id
            assert status.version < 1000
    finally:
        stranger.close()
    after = system.wait(lambda s: s.updates_applied > failed.updates_applied)
    assert after.session_id == before.session_id
