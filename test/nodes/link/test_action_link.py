# SPDX-License-Identifier: Apache-2.0
"""The robot's end of the action, against a tutor that answers as each test wants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
import queue
import threading
import time
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from robots import wait_until
from shadowtutor_msgs.action import Distill
from shadowtutor_msgs.msg import StudentUpdate

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.link.action_link import ActionLink
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.piece_channel import DOWN, PieceChannel, UP
from shadowtutor_ros.nodes.link.rivals import count_tutors, rivalry
from shadowtutor_ros.runtime.link import LinkFailure, Refusal
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.seal import answer_to, Seal, UNKEYED
from shadowtutor_ros.wire.update import KeyFrame, NO_SESSION

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
NAME = '/tutor/distill'
FRAME = np.zeros((8, 8, 3), np.uint8)
REJECTED = LinkFailure(
    "/tutor/distill rejected the key frame: too large, no place, another robot's stream_id, "
    'or another key; its log says which', refusal=Refusal.NOT_HERE)


@dataclass
class FakeTutor:
    """Takes a goal when it may ``accept``, gives ``signs`` of life, works until ``done``."""

    accept: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    takes: bool = True
    update: StudentUpdate | None = None
    signs: int = 0
    signs_given: threading.Event = field(default_factory=threading.Event)
    asked: queue.Queue[int] = field(default_factory=queue.Queue)
    cancelled: queue.Queue[bool] = field(default_factory=queue.Queue)

    def on_goal(self, goal: Distill.Goal) -> GoalResponse:
        self.asked.put(goal.sequence)
        assert self.accept.wait(TIMEOUT)
        return GoalResponse.ACCEPT if self.takes else GoalResponse.REJECT

    def on_cancel(self, goal: Any) -> CancelResponse:
        self.cancelled.put(True)
        self.done.set()
        return CancelResponse.ACCEPT

    def work(self, goal: Any) -> Distill.Result:
        for _ in range(self.signs):
            goal.publish_feedback(Distill.Feedback())
            self.done.wait(0.1)
        self.signs_given.set()
        assert self.done.wait(TIMEOUT)
        if self.update is not None:
            question = answer_to(goal.request)
            goal.succeed()
            return UNKEYED.sign(Distill.Result(
                update=UNKEYED.sign(self.update, question)), question)
        goal.abort()
        return Distill.Result(message=f'{goal.request.sequence}: not today')


@dataclass
class Ends:
    tutor: FakeTutor
    link: ActionLink
    robot: Node


@pytest.fixture
def ends(domain_id: int) -> Iterator[Ends]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    executor = MultiThreadedExecutor(4, context=context)
    robot, server = (rclpy.create_node(name, context=context) for name in ('robot', 'server'))
    tutor = FakeTutor()
    action = ActionServer(
        server, Distill, NAME, tutor.work, goal_callback=tutor.on_goal,
        cancel_callback=tutor.on_cancel, callback_group=ReentrantCallbackGroup(),
        goal_service_qos_profile=qos.REQUEST, result_service_qos_profile=qos.REQUEST,
        cancel_service_qos_profile=qos.REQUEST, feedback_pub_qos_profile=qos.FEEDBACK)
    link = ActionLink(robot, NAME, TIMEOUT)
    assert link._client.wait_for_server(TIMEOUT)
    for node in (robot, server):
        executor.add_node(node)
    ended = threading.Event()

    def spin() -> None:
        while not ended.is_set():
            executor.spin_once(0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    yield Ends(tutor, link, robot)
    tutor.accept.set()
    tutor.done.set()
    ended.set()
    thread.join(TIMEOUT)
    executor.shutdown()
    link.close()
    action.destroy()
    for node in (robot, server):
        node.destroy_node()
    rclpy.shutdown(context=context)


def key_frame(sequence: int) -> KeyFrame:
    return KeyFrame('robot', sequence, NO_SESSION, 0, 0, '', encode_frame(FRAME, 'png'))


def failure(link: ActionLink) -> LinkFailure:
    reply = link.receive(wait=True)
    assert isinstance(reply, LinkFailure)
    return reply


def test_no_tutor_is_said_at_once(domain_id: int) -> None:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node: Node = rclpy.create_node('robot', context=context)
    link = ActionLink(node, NAME, TIMEOUT)
    link.send(key_frame(1))
    assert failure(link) == LinkFailure('no tutor at /tutor/distill', True, True)
    link.close()
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_an_aborted_goal_says_why(ends: Ends) -> None:
    ends.tutor.accept.set()
    ends.tutor.done.set()
    ends.link.send(key_frame(1))
    assert failure(ends.link) == LinkFailure('1: not today')


def test_a_rejected_goal_is_a_failure(ends: Ends) -> None:
    ends.tutor.takes = False
    ends.tutor.accept.set()
    ends.link.send(key_frame(1))
    assert failure(ends.link) == REJECTED


def test_after_a_refusal_no_piece_is_sent_any_more(ends: Ends) -> None:
    channels = ChannelNode(ends.robot)
    channel = PieceChannel(channels, '/channel', UP, DOWN, 1000)  # whose other end is nowhere
    link = ActionLink(ends.robot, NAME, TIMEOUT, channel)
    assert link._client.wait_for_server(TIMEOUT)
    ends.tutor.takes = False
    link.send(key_frame(1))
    assert channel._sender is not None
    ends.tutor.accept.set()
    assert failure(link) == REJECTED
    assert channel._sender is None
    channel.close()
    channels.close()
    link.close()


def test_silence_is_a_silent_failure_and_the_goal_is_cancelled(ends: Ends) -> None:
    ends.tutor.accept.set()
    ends.link.send(key_frame(1), 2.0)
    assert failure(ends.link) == LinkFailure('no sign of /tutor/distill for 2.0 s', True)
    assert ends.tutor.cancelled.get(timeout=TIMEOUT)


def test_signs_of_life_keep_a_goal_alive_beyond_its_timeout(ends: Ends) -> None:
    ends.tutor.signs = 40  # 4 s
    ends.tutor.accept.set()
    ends.link.send(key_frame(1), 2.0)
    assert ends.tutor.signs_given.wait(TIMEOUT)
    assert ends.link.receive(wait=False) is None
    ends.tutor.done.set()
    assert failure(ends.link) == LinkFailure('1: not today')


def test_a_tutor_that_seems_to_have_ended_is_not_waited_for(ends: Ends) -> None:
    ends.tutor.accept.set()
    ends.link.send(key_frame(1))
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    ends.link.doubt()
    assert failure(ends.link) == LinkFailure('the tutor at /tutor/distill is gone', True, True)
    assert ends.tutor.cancelled.get(timeout=TIMEOUT)


def test_a_sign_of_life_ends_the_doubt(ends: Ends) -> None:
    ends.tutor.signs = 20  # 2 s
    ends.tutor.accept.set()
    ends.link.send(key_frame(1))
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    ends.link.doubt()
    assert ends.tutor.signs_given.wait(TIMEOUT)
    assert ends.link.receive(wait=False) is None
    ends.tutor.done.set()
    assert failure(ends.link) == LinkFailure('1: not today')


def test_a_tutor_that_was_only_slow_is_trusted_again(ends: Ends) -> None:
    ends.tutor.accept.set()
    ends.link.send(key_frame(1))
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    ends.link.doubt()
    ends.link.trust()
    ends.tutor.done.wait(1.5)  # as long as a doubt lasts, and longer
    assert ends.link.receive(wait=False) is None
    ends.tutor.done.set()
    assert failure(ends.link) == LinkFailure('1: not today')


def test_a_tutor_that_another_one_has_replaced_is_not_waited_for(
    ends: Ends, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ends.link._patience, 'factor', lambda: 100.0)
    ends.tutor.accept.set()
    ends.link.send(key_frame(1))
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    ends.link.meet()  # nobody was in doubt
    assert ends.link.receive(wait=False) is None
    ends.link.doubt()
    assert ends.link.receive(wait=False) is None
    ends.link.meet()
    assert ends.link.receive(wait=False) == LinkFailure(
        'the tutor at /tutor/distill is gone', True, True)


def test_on_a_starved_machine_a_doubt_takes_longer(
    ends: Ends, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of a key frame that is sent meanwhile."""
    monkeypatch.setattr(ends.link._patience, 'factor', lambda: 10.0)
    ends.tutor.accept.set()
    assert not ends.link.is_slow()
    ends.link.doubt()
    assert ends.link.is_slow()
    ends.link.send(key_frame(1))
    ends.tutor.done.wait(1.5)  # twice as long as a doubt lasts else
    assert ends.link.receive(wait=False) is None
    assert failure(ends.link) == LinkFailure('the tutor at /tutor/distill is gone', True, True)
    ends.link.trust()
    assert not ends.link.is_slow()


def test_who_has_a_grace_is_asked_and_waited_for_until_it_is_over(ends: Ends) -> None:
    link = ActionLink(ends.robot, NAME, TIMEOUT, gone=lambda: True, grace=2.0)
    assert link._client.wait_for_server(TIMEOUT)
    ends.tutor.accept.set()
    link.doubt()
    assert not link.is_slow()  # and so the status says that it is gone
    started = time.monotonic()
    link.send(key_frame(1))
    assert failure(link) == LinkFailure('the tutor at /tutor/distill is gone', True, True)
    assert time.monotonic() - started > 1.5
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    link.send(key_frame(2))
    assert failure(link) == LinkFailure('no tutor at /tutor/distill', True, True)
    link.close()


def test_whose_time_runs_out_while_a_tutor_is_in_doubt_has_none(ends: Ends) -> None:
    """What nobody is there to answer is not the link's fault."""
    link = ActionLink(ends.robot, NAME, TIMEOUT, gone=lambda: True, grace=TIMEOUT)
    assert link._client.wait_for_server(TIMEOUT)
    ends.tutor.accept.set()
    link.doubt()
    link.send(key_frame(1), 1.0)
    assert failure(link) == LinkFailure('the tutor at /tutor/distill is gone', True, True)
    link.close()


def test_after_a_doubt_that_has_ended_silence_is_silence(ends: Ends) -> None:
    ends.tutor.signs = 5  # half a second
    ends.tutor.accept.set()
    ends.link.send(key_frame(1), 2.0)
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    ends.link.doubt()
    assert failure(ends.link) == LinkFailure('no sign of /tutor/distill for 2.0 s', True)


def test_no_key_frame_goes_to_a_tutor_that_is_gone(ends: Ends) -> None:
    link = ActionLink(ends.robot, NAME, TIMEOUT, gone=lambda: True)
    assert link._client.wait_for_server(TIMEOUT)
    link.send(key_frame(1))
    assert failure(link) == LinkFailure('no tutor at /tutor/distill', True, True)
    assert ends.tutor.asked.empty()
    link.close()


def test_a_goal_given_up_before_it_is_accepted_is_cancelled(ends: Ends) -> None:
    ends.link.send(key_frame(1))
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    ends.link.give_up()
    assert failure(ends.link) == LinkFailure('given up by this node')
    assert ends.tutor.cancelled.empty()
    ends.tutor.accept.set()
    assert ends.tutor.cancelled.get(timeout=TIMEOUT)


def test_a_goal_that_is_accepted_after_a_newer_one_was_sent_is_cancelled(ends: Ends) -> None:
    ends.link.send(key_frame(1))
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 1
    ends.link.send(key_frame(2))
    ends.tutor.accept.set()
    assert ends.tutor.asked.get(timeout=TIMEOUT) == 2
    assert ends.tutor.cancelled.get(timeout=TIMEOUT)  # the first one
    assert failure(ends.link) == LinkFailure('2: not today')


def test_what_two_tutors_answer_is_not_taken(ends: Ends) -> None:
    """Neither the first's answer nor the second's."""
    second = ActionServer(
        ends.robot, Distill, NAME, lambda handle: Distill.Result(),
        goal_callback=lambda goal: GoalResponse.REJECT,
        goal_service_qos_profile=qos.REQUEST, result_service_qos_profile=qos.REQUEST)
    wait_until(lambda: count_tutors(ends.robot, NAME) == 2, TIMEOUT)
    ends.tutor.accept.set()
    for sequence in 1, 2:
        ends.link.send(key_frame(sequence))
        reply = failure(ends.link)
        if reply == REJECTED:  # by the first to answer, before anybody else did
            continue
        assert reply.reason == rivalry(NAME)
    second.destroy()


def test_an_answer_waits_for_a_second_one_where_two_are_listed(ends: Ends) -> None:
    """One of them may have been killed: it is taken a second later."""
    silent = ends.robot.create_publisher(
        Distill.Impl.FeedbackMessage, f'{NAME}/_action/feedback', qos.FEEDBACK)
    wait_until(lambda: count_tutors(ends.robot, NAME) == 2, TIMEOUT)
    ends.tutor.update = update = UNKEYED.sign(StudentUpdate(stream_id='robot'))
    ends.tutor.accept.set()
    ends.tutor.done.set()
    ends.link.send(key_frame(1))
    wait_until(lambda: ends.link._reply is not None, TIMEOUT)
    assert ends.link.receive(wait=False) is None
    reply = ends.link.receive(wait=True)
    assert not isinstance(reply, LinkFailure)
    assert reply.stream_id == update.stream_id
    ends.robot.destroy_publisher(silent)


def test_an_answer_does_not_wait_for_one_that_is_known_to_have_ended(ends: Ends) -> None:
    silent = ends.robot.create_publisher(
        Distill.Impl.FeedbackMessage, f'{NAME}/_action/feedback', qos.FEEDBACK)
    wait_until(lambda: count_tutors(ends.robot, NAME) == 2, TIMEOUT)
    link = ActionLink(ends.robot, NAME, TIMEOUT, lost=lambda: 1)
    assert link._client.wait_for_server(TIMEOUT)
    ends.tutor.update = UNKEYED.sign(StudentUpdate(stream_id='robot'))
    ends.tutor.accept.set()
    ends.tutor.done.set()
    link.send(key_frame(1))
    wait_until(lambda: link._reply is not None, TIMEOUT)
    assert link.receive(wait=False) is not None
    link.close()
    ends.robot.destroy_publisher(silent)


def test_with_a_key_who_has_none_neither_answers_nor_lives(ends: Ends) -> None:
    link = ActionLink(ends.robot, NAME, TIMEOUT, seal=Seal(b'key'))
    assert link._client.wait_for_server(TIMEOUT)
    ends.tutor.signs = 10  # 1 s
    ends.tutor.accept.set()
    link.send(key_frame(1), 0.5)
    reply = failure(link)
    assert reply.silent
    assert reply.reason == ('no sign of /tutor/distill for 0.5 s; somebody answered: '
                            'Distill_Feedback: without the right key (link_key_file), or for '
                            'somebody else')
    link.close()
