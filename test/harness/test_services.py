# SPDX-License-Identifier: Apache-2.0
"""A question that got no answer is asked again where that does no harm."""

from collections.abc import Iterator
from contextlib import suppress
import threading

from lifecycle_msgs.srv import GetState
import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.node import Node

from shadowtutor_ros.harness.services import ask

pytestmark = pytest.mark.ros

TIMEOUT = 60.0


@pytest.fixture
def node(domain_id: int) -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    node = rclpy.create_node('asked', context=context)
    executor = MultiThreadedExecutor(4, context=context)
    executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin)
    thread.start()
    yield node
    rclpy.shutdown(context=context)
    thread.join()
    node.destroy_node()


def test_a_question_whose_answer_does_not_come_is_asked_again(node: Node) -> None:
    questions: list[int] = []
    again, over = threading.Event(), threading.Event()

    def answer(request: object, response: GetState.Response) -> GetState.Response:
        questions.append(len(questions))
        if len(questions) > 1:
            again.set()
            response.current_state.label = 'the second'
        else:
            again.wait(TIMEOUT)
            over.wait(TIMEOUT)
        return response

    group = ReentrantCallbackGroup()
    node.create_service(GetState, 'state', answer, callback_group=group)
    client = node.create_client(GetState, 'state', callback_group=group)
    response = ask(client, GetState.Request(), 10.0, tries=2)
    over.set()
    assert response.current_state.label == 'the second'
    assert questions == [0, 1]


def test_who_does_not_answer_and_who_is_not_there_are_named(node: Node) -> None:
    client = node.create_client(GetState, 'nobody/state')
    with pytest.raises(TimeoutError, match=r'^nobody/state is not there within 0\.1 s$'):
        ask(client, GetState.Request(), 0.1)

    over = threading.Event()
    group = ReentrantCallbackGroup()

    def wait(request: object, response: GetState.Response) -> GetState.Response:
        over.wait(TIMEOUT)
        return response

    node.create_service(GetState, 'state', wait, callback_group=group)
    client = node.create_client(GetState, 'state', callback_group=group)
    with pytest.raises(TimeoutError, match=r'state does not answer within 1 s$'):
        ask(client, GetState.Request(), 1.0, tries=2)
    over.set()
