# SPDX-License-Identifier: Apache-2.0
"""The helper node: a further device of a robot that works on its frames."""

from __future__ import annotations

import threading
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
import torch

from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.common_parameters import path_named
from shadowtutor_ros.nodes.diagnostics import helper_diagnostics
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.helping import Helping
from shadowtutor_ros.nodes.student_parameters import STUDENT_PARAMETERS
from shadowtutor_ros.nodes.toolkit.managed import ManagedNode
from shadowtutor_ros.nodes.toolkit.parameters import declare, Parameter
from shadowtutor_ros.nodes.toolkit.placement import default_threads, parse_cpus, place_thread
from shadowtutor_ros.nodes.toolkit.spin import report_dds, run
from shadowtutor_ros.nodes.toolkit.topics import publisher
from shadowtutor_ros.runtime.helper import Helper
from shadowtutor_ros.runtime.memory import keep_freed_memory
from shadowtutor_ros.wire.piece_messages import update_from_bytes
from shadowtutor_ros.wire.seal import Seal

_NAMES = ('device', 'threads', 'cpus', 'nice', 'link_key_file', 'max_pixels', 'status_period',
          'autostart')
HELPER_PARAMETERS = (
    Parameter('robot', '/student', 'Name of the student node whose frames it works on.'),
    *(p for p in STUDENT_PARAMETERS if p.name in _NAMES))


class HelperNode(ManagedNode):
    """
    Joins the student node ``robot`` while it is active, and works on what that deals it.

    One thread owns the student and does so. Weights and precision are the robot's.
    """

    def __init__(self) -> None:
        super().__init__('helper')
        self._values = declare(self, HELPER_PARAMETERS)
        self._diagnostics = publisher(self, DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
        self._helper: Helper | None = None
        self._helping: Helping | None = None
        self._channel_node: ChannelNode | None = None
        self._worker: threading.Thread | None = None
        self.every(self._values['status_period'], self.report)
        report_dds(self)
        self.report()

    def configure(self) -> None:
        p = self._values
        device = pick_device(p['device'])
        torch.zeros(1, device=device)  # one that does not work any more fails here
        self._cpus = parse_cpus(p['cpus'])
        torch.set_num_threads(p['threads'] or default_threads(self._cpus))
        self._seal = Seal.of_file(path_named(p['link_key_file']))
        self._helper = Helper(device, update_from_bytes, p['max_pixels'])
        self._channel_node = ChannelNode(self)

    def activate(self) -> None:
        helper, channel_node = self._helper, self._channel_node
        assert helper is not None
        assert channel_node is not None
        self._helping = helping = Helping(
            self, channel_node, self._values['robot'], helper, self._seal)
        self._worker = threading.Thread(target=self._work, args=(helping,), name='helper')
        self._worker.start()
        self.get_logger().info(_waits_for(helping))

    def deactivate(self) -> None:
        helping, self._helping = self._helping, None
        worker, self._worker = self._worker, None
        if helping is not None:
            helping.close()
        if worker is not None:
            worker.join()

    def clean_up(self) -> None:
        channel_node, self._channel_node = self._channel_node, None
        if channel_node is not None:
            channel_node.close()
        self._helper = None

    def report(self) -> None:
        diagnostics = helper_diagnostics(
            self.get_fully_qualified_name(), self._helper, *self._standing())
        diagnostics.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics)

    def _standing(self) -> tuple[bool, str, str]:
        """Return whether it helps, what is to be said of that, and why it cannot at all."""
        helping = self._helping
        if helping is None:
            return False, self.phase, self.problem
        if helping.joined:
            return True, f'helps {helping.robot_name}', self.problem
        return False, helping.problem or _waits_for(helping), self.problem

    def _work(self, helping: Helping) -> None:
        try:
            place_thread(self._cpus, self._values['nice'])
        except OSError as error:
            self.get_logger().warning(f'parameters cpus and nice have no effect: {error}')
        try:
            helping.work()
        except Exception as error:
            self.fail(error)


def _waits_for(helping: Helping) -> str:
    return f'waits for {helping.robot_name}: not there, or its share is off'


def main(args: list[str] | None = None) -> Any:
    """Run the helper node."""
    keep_freed_memory()
    return run(HelperNode, args)


if __name__ == '__main__':
    main()
