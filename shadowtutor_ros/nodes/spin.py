# SPDX-License-Identifier: Apache-2.0
"""Run one node as a process."""

from __future__ import annotations

from collections.abc import Callable
import sys

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node

from shadowtutor_ros.model.checkpoint import CheckpointError
from shadowtutor_ros.nodes.parameters import ParameterError
from shadowtutor_ros.teacher.protocol import TeacherError
from shadowtutor_ros.video import VideoError

_START_ERRORS = (CheckpointError, TeacherError, VideoError, ParameterError,
                 InvalidParameterTypeException, InvalidParameterValueException,
                 FileNotFoundError, ValueError)


def run(make_node: Callable[[], Node], args: list[str] | None = None, threads: int = 4) -> None:
    """Spin ``make_node()`` until shutdown; a node that cannot start says why and exits with 1."""
    rclpy.init(args=args)
    try:
        node = make_node()
    except _START_ERRORS as error:
        get_logger('shadowtutor').fatal(f'{type(error).__name__}: {error}')
        rclpy.try_shutdown()
        sys.exit(1)
    executor = MultiThreadedExecutor(threads)
    executor.add_node(node)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
