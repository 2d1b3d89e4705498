# SPDX-License-Identifier: Apache-2.0
"""A second node in the process, which only carries pieces, and has threads of its own."""

from __future__ import annotations

import threading
import traceback

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from shadowtutor_ros.nodes.toolkit.listener import Listener

_BREATH = 0.1  # seconds between errors of callbacks


class ChannelNode:
    """
    ``node`` for the channels of ``owner``; spins from the start until ``close``.

    A multi-threaded executor needs about a millisecond per message, brings them out of order,
    and waits behind the owner's other callbacks. Pieces are heard by ``listener``, in a thread of
    its own; another one spins the node for the little beside them.
    """

    def __init__(self, owner: Node) -> None:
        self.node = rclpy.create_node(
            f'{owner.get_name()}_channel', namespace=owner.get_namespace(), context=owner.context,
            use_global_arguments=False, enable_rosout=False, start_parameter_services=False)
        self.listener = Listener(self.node, 'pieces in')
        self._closed = threading.Event()
        self._executor = SingleThreadedExecutor(context=owner.context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name='channel', daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and the node; all channels must be closed."""
        self._closed.set()
        self._executor.shutdown()
        self._thread.join()
        self.listener.close()
        self.node.destroy_node()

    def _spin(self) -> None:
        while not self._closed.is_set():
            try:
                self._executor.spin()
                return
            except ExternalShutdownException:
                return
            except Exception:  # without this thread no piece would ever arrive again
                if not self._closed.wait(_BREATH):
                    self.node.get_logger().error(
                        traceback.format_exc(), throttle_duration_sec=5.0)
