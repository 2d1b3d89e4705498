# SPDX-License-Identifier: Apache-2.0
"""Requests whose answer is there before the client has taken note of them."""

from __future__ import annotations

from collections.abc import Iterator
import threading
from typing import Any

import pytest
import rclpy
from rclpy.action import ActionClient, ActionServer
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from shadowtutor_msgs.action import Distill

from shadowtutor_ros.nodes.link.goal_client import GoalClient

pytestmark = pytest.mark.ros

TIMEOUT = 60.0
ENOUGH = 1.0  # seconds in which an answer is taken if nothing is in the way


def work(goal: Any) -> Distill.Result:
    goal.succeed()
    return Distill.Result(message='taught')


@pytest.fixture
def client(domain_id: int) -> Iterator[GoalClient]:
    context = Context()
    rclpy.init(context=context, domain_id=domain_id)
    robot, server = (rclpy.create_node(name, context=context) for name in ('robot', 'server'))
    action = ActionServer(server, Distill, 'distill', work)
    client = GoalClient(robot, Distill, 'distill', on_second=lambda: None)
    assert client.wait_for_server(TIMEOUT)
    executor = MultiThreadedExecutor(4, context=context)
    for node in (robot, server):
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield client
    executor.shutdown()
    thread.join(TIMEOUT)
    client.destroy()
    action.destroy()
    for node in (robot, server):
        node.destroy_node()
    rclpy.shutdown(context=context)


class Slow(dict[Any, Any]):
    """What is noted here is noted once an answer was taken, or could not be for long enough."""

    def __init__(self, taken: threading.Event) -> None:
        self.taken = taken

    def __setitem__(self, key: Any, value: Any) -> None:
        self.taken.wait(ENOUGH)
        super().__setitem__(key, value)


@pytest.mark.parametrize('noted', ['_feedback_callbacks', '_pending_result_requests'])
def test_an_answer_waits_until_its_request_is_noted(
    noted: str, client: GoalClient, monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, answered = threading.Event(), threading.Event()
    take, results = ActionClient.take_data, []

    def take_data(self: ActionClient) -> Any:
        data = take(self)
        if ('goal' if noted == '_feedback_callbacks' else 'result') in data:
            taken.set()
        return data

    def on_result(future: Any) -> None:
        results.append(future.result().result.message)
        answered.set()

    monkeypatch.setattr(ActionClient, 'take_data', take_data)
    setattr(client, noted, Slow(taken))
    client.send_goal_async(Distill.Goal(), lambda feedback: None).add_done_callback(
        lambda future: future.result().get_result_async().add_done_callback(on_result))
    assert answered.wait(TIMEOUT / 4)
    assert results == ['taught']
