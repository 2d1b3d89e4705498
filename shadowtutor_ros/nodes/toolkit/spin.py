# SPDX-License-Identifier: Apache-2.0
"""Run one node as a process, from its start to a clean end."""

from __future__ import annotations

import atexit
from collections.abc import Callable
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, NoReturn

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import Executor, MultiThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier

from shadowtutor_ros.dds import active_profile, advice
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.nodes.toolkit.managed import (
    FINALIZED,
    ManagedNode,
    RCLError,
    StartError,
    UNCONFIGURED,
)

_BREATH = 0.1  # seconds between errors of callbacks
_PAUSE = 2.0  # seconds from a failure to the next start
_LAST_WORDS = 0.2  # seconds for answers that are on their way
_START_ERRORS = (ShadowTutorError, InvalidParameterTypeException, InvalidParameterValueException,
                 FileNotFoundError, ValueError)


class WorkingNode(Node):
    """A node that may have work beside the executor's callbacks."""

    def stop(self) -> None:
        """End that work, while the node can still publish and be answered; do nothing again."""

    def destroy_node(self) -> None:
        self.stop()
        super().destroy_node()


def report_dds(node: Node) -> None:
    """Say which DDS profile is in force, and warn if lost messages will hurt."""
    profile = active_profile(get_rmw_implementation_identifier(), os.environ)
    node.get_logger().info(f'DDS profile: {profile.name} {profile.path or ""}'.rstrip())
    if (text := advice(profile)) is not None:
        node.get_logger().warning(text)


def run(
    make_node: Callable[[], WorkingNode | ManagedNode], args: list[str] | None = None,
    threads: int = 4,
) -> NoReturn:
    """
    Spin ``make_node()`` until SIGINT or SIGTERM, then exit; meanwhile start it if it does itself.

    The exit status is 0, also of a node that is still starting; one that cannot start says why
    and exits with 1. One that starts itself and fails later starts again after a pause, and exits
    with 1 if it cannot. rclpy's own signal handlers would end the context under the node's
    workers; ours let the workers end first.
    """
    stopped, started = threading.Event(), threading.Event()
    _listen(stopped, started)
    node: WorkingNode | ManagedNode | None = None
    status = 0

    def start_again() -> None:
        nonlocal status
        assert isinstance(node, ManagedNode)
        if stopped.wait(_PAUSE) or node.phase not in (UNCONFIGURED, FINALIZED):
            return
        try:
            node.start()
        except StartError:
            if not stopped.is_set():
                status = 1
                stopped.set()

    def start() -> None:
        if isinstance(node, ManagedNode) and node.autostart:
            node.on_failed = start_again
            node.start()
        started.set()

    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # unknown log level, malformed remapping
        print(f'{type(error).__name__}: {error}', file=sys.stderr)
        _leave(1)
    except KeyboardInterrupt:
        _leave(0)
    try:
        try:
            node = make_node()
        except RCLError as error:  # as by SROS 2, with which no node can be made to log it
            print(f'RCLError: {error}', file=sys.stderr)
            _leave(1)
        _spin_until(stopped, node, MultiThreadedExecutor(threads), start)
    except StartError:  # it has said why
        _end(node, 1)
    except _START_ERRORS as error:
        _logger_of(make_node).fatal(f'{type(error).__name__}: {error}')
        _end(node, 1)
    except KeyboardInterrupt:
        _end(node, 0)
    _end(node, status)


def _end(node: WorkingNode | ManagedNode | None, status: int) -> NoReturn:
    if node is not None:
        node.destroy_node()
    rclpy.shutdown()
    _leave(status)


def _leave(status: int) -> NoReturn:
    """
    End the process now.

    The interpreter's own end waits for every thread, as for a teacher that looks at a picture
    whose label nobody wants any more, and looks through all of torch.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _logger_of(make_node: Callable[[], WorkingNode | ManagedNode]) -> Any:
    """Return the logger of a node that could not be made, by the name that it would have."""
    name = getattr(make_node, '__name__', '').removesuffix('Node').lower()
    node = Node(name or 'node', start_parameter_services=False)
    try:
        return node.get_logger()
    finally:
        node.destroy_node()


def _listen(stopped: threading.Event, started: threading.Event) -> None:
    """
    Let the first SIGINT or SIGTERM set ``stopped``, and end what is not ``started`` yet.

    The second is ignored: at Ctrl-C a terminal signals a node and so does its launch. The third
    ends the process.
    """
    def on_signal(number: int, frame: object) -> None:
        if stopped.is_set():
            for sign in (signal.SIGINT, signal.SIGTERM):
                signal.signal(sign, signal.SIG_DFL)
            return
        stopped.set()
        if not started.is_set():
            raise KeyboardInterrupt

    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, on_signal)


def _spin_until(
    stopped: threading.Event, node: WorkingNode | ManagedNode, executor: Executor,
    start: Callable[[], None] = lambda: None,
) -> None:
    """
    Spin in a thread until ``stopped``, whatever callbacks raise; then stop the node.

    Meanwhile ``start`` is called; what it raises ends the spinning.
    """
    executor.add_node(node)
    ended = threading.Event()

    def spin() -> None:
        while not (stopped.is_set() or ended.is_set()):
            try:
                executor.spin()
                return
            except Exception:  # ours, or rclpy's: as when two tutors of one name answer a goal
                if not stopped.wait(_BREATH):
                    node.get_logger().error(traceback.format_exc(), throttle_duration_sec=5.0)

    spinning = threading.Thread(target=spin, name='executor')
    spinning.start()
    try:
        start()
        stopped.wait()
        try:
            node.stop()
            time.sleep(_LAST_WORDS)
        except Exception:
            node.get_logger().error(traceback.format_exc())
    finally:
        ended.set()
        executor.shutdown()
        spinning.join()
