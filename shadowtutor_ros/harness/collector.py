# SPDX-License-Identifier: Apache-2.0
"""Receives what a student node publishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
import queue
import threading
import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.harness.services import ask
from shadowtutor_ros.wire.messages import stamp_from_msg

# What the harness asks of the camera and mask topics, so that no frame is lost.
# A busy reader may be some pictures behind, and some seconds.
_DEPTH, _LIFESPAN = 10, 60_000_000_000  # ns
LOSSLESS: dict[str, str | int] = {
    'reliability': 'reliable', 'durability': 'transient_local', 'depth': _DEPTH,
    'lifespan': _LIFESPAN}
_LOSSLESS_QOS = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE,
                           durability=DurabilityPolicy.TRANSIENT_LOCAL)
# A subscriber to a state wants the newest; here one event is as good as the other.
_EVERY_STATUS = QoSProfile(depth=100, reliability=ReliabilityPolicy.RELIABLE,
                           durability=DurabilityPolicy.TRANSIENT_LOCAL)
_TRIES = 6  # of a question whose second answer is as good as the first


class Collector:
    """
    Masks and statuses of the student node ``student``, in a context of its own.

    Used as a context manager, which spins in a thread.
    """

    def __init__(self, student: str, domain_id: int) -> None:
        self._statuses: list[StudentStatus] = []
        self._changed = threading.Condition()
        self._masks: queue.Queue[tuple[int, NDArray[np.uint8]]] = queue.Queue()
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = rclpy.create_node('collector', context=self._context)
        self._mask_topic = f'{student}/mask'
        self._node.create_subscription(Image, self._mask_topic, self._on_mask, _LOSSLESS_QOS)
        self._node.create_subscription(
            StudentStatus, f'{student}/status', self._on_status, _EVERY_STATUS)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name='collector')

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        rclpy.shutdown(context=self._context)
        self._thread.join()
        self._node.destroy_node()

    @property
    def status(self) -> StudentStatus | None:
        """The newest status."""
        return self._statuses[-1] if self._statuses else None

    @property
    def statuses(self) -> tuple[StudentStatus, ...]:
        """All statuses so far."""
        return tuple(self._statuses)

    def wait_for_publisher(self, timeout: float) -> bool:
        """Say whether somebody publishes masks within ``timeout`` s: none is missed from then."""
        deadline = time.monotonic() + timeout
        while not self._node.count_publishers(self._mask_topic):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def next_mask(self, timeout: float) -> tuple[int, NDArray[np.uint8]] | None:
        """Return (stamp in ns, HxW class ids) of the next mask; None after ``timeout`` s."""
        try:
            return self._masks.get(timeout=timeout)
        except queue.Empty:
            return None

    def wait_for_status(
        self, wanted: Callable[[StudentStatus], bool], timeout: float,
        alive: Callable[[], None] = lambda: None,
    ) -> StudentStatus | None:
        """
        Return the first status that is ``wanted``; None after ``timeout`` s.

        ``alive`` is called while waiting and may raise.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while (left := deadline - time.monotonic()) > 0:
                if self._statuses and wanted(self._statuses[-1]):
                    return self._statuses[-1]
                alive()
                self._changed.wait(min(left, 0.5))
        return None

    def parameter(self, node: str, name: str, timeout: float) -> Any:
        """Return the value of a parameter of ``node``; raise TimeoutError after ``timeout`` s."""
        client = self._node.create_client(GetParameters, f'{node}/get_parameters')
        try:
            answer = ask(client, GetParameters.Request(names=[name]), timeout, tries=_TRIES)
            return parameter_value_to_python(answer.values[0])
        finally:
            self._node.destroy_client(client)

    def set_parameters(self, node: str, values: Mapping[str, Any], timeout: float) -> str:
        """
        Set parameters of ``node`` all or none; return why it refuses, empty if it does not.

        Raise TimeoutError after ``timeout`` s.
        """
        client = self._node.create_client(
            SetParametersAtomically, f'{node}/set_parameters_atomically')
        request = SetParametersAtomically.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
        try:
            result = ask(client, request, timeout, tries=_TRIES).result
        finally:
            self._node.destroy_client(client)
        return '' if result.successful else result.reason or 'no reason'

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def _on_mask(self, msg: Image) -> None:
        mask = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.width)
        self._masks.put((stamp_from_msg(msg.header.stamp), mask))

    def _on_status(self, msg: StudentStatus) -> None:
        with self._changed:
            self._statuses.append(msg)
            self._changed.notify_all()
