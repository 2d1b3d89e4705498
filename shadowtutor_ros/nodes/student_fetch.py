# SPDX-License-Identifier: Apache-2.0
"""Asks a tutor for the student of one of its streams, as somebody who is no robot."""

from __future__ import annotations

import os
import time
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from shadowtutor_msgs.msg import TutorStatus
from shadowtutor_msgs.srv import GetStudent

from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.model.student import Student
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.runtime.student import student_from_update
from shadowtutor_ros.wire.messages import info_from_response, update_from_msg


class NoStudent(ShadowTutorError):
    """A tutor is not there, or has no such stream."""


def fetch_student(tutor: str, stream_id: str, timeout: float) -> tuple[str, int, Student]:
    """
    Return a stream's id, its version and its student, as the robot has it.

    An empty ``stream_id`` is the only stream. Raise NoStudent, after ``timeout`` seconds at most
    where nobody answers.
    """
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node(f'shadowtutor_student_{os.getpid()}', context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    deadline = time.monotonic() + timeout
    try:
        stream_id = _choose(tutor, stream_id, _streams(node, executor, tutor, deadline))
        response = _ask(node, executor, tutor, stream_id, deadline)
        if not response.success:
            raise NoStudent(f'{tutor}: {response.message}')
        update, info = update_from_msg(response.student), info_from_response(response)
        return stream_id, update.version, student_from_update(update, info)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def _streams(
    node: Node, executor: SingleThreadedExecutor, tutor: str, deadline: float,
) -> list[str]:
    """Return the ids of the streams that have a session."""
    statuses: list[TutorStatus] = []
    node.create_subscription(TutorStatus, f'{tutor}/status', statuses.append, qos.STATE)
    while not statuses:
        _spin(executor, deadline, f'no tutor at {tutor}')
    return [stream.stream_id for stream in statuses[-1].streams]


def _choose(tutor: str, wanted: str, streams: list[str]) -> str:
    if wanted in streams:
        return wanted
    if not wanted and len(streams) == 1:
        return streams[0]
    names = ', '.join(map(repr, streams)) or 'none, nobody was taught yet'
    raise NoStudent(f'{tutor}: expected one of its streams, {names}; got {wanted!r}')


def _ask(
    node: Node, executor: SingleThreadedExecutor, tutor: str, stream_id: str, deadline: float,
) -> Any:
    client = node.create_client(GetStudent, f'{tutor}/get_student')
    while not client.service_is_ready():
        _spin(executor, deadline, f'{tutor} does not offer get_student')
    future = client.call_async(GetStudent.Request(stream_id=stream_id))
    while not future.done():
        _spin(executor, deadline, f'{tutor} does not answer')
    return future.result()


def _spin(executor: SingleThreadedExecutor, deadline: float, problem: str) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise NoStudent(problem)
    executor.spin_once(min(left, 0.1))
