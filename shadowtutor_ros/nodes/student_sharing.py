# SPDX-License-Identifier: Apache-2.0
"""A student node's frames, shared with helpers, and who does how much of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import math
from typing import Any

from rclpy.node import Node
from shadowtutor_msgs.msg import DeviceShare, StudentStatus

from shadowtutor_ros.monitor.words import WORKS
from shadowtutor_ros.nodes.link.channel_node import ChannelNode
from shadowtutor_ros.nodes.link.helpers import Helpers, MOST_HELPERS, Standing
from shadowtutor_ros.nodes.student_settings import packing_of
from shadowtutor_ros.runtime.session import RunningStudent
from shadowtutor_ros.runtime.sharing import SharedInference
from shadowtutor_ros.schedule.dealer import ALONE, OWN, Share
from shadowtutor_ros.wire.messages import clipped
from shadowtutor_ros.wire.seal import Seal

_LONGEST_STATE = 64  # bytes


class StudentSharing:
    """
    Has helpers of ``node`` work on the frames of ``student`` as the parameters ``p`` say.

    ``robot`` is the process's random number; ``begin`` is called first in the thread that computes
    here.
    """

    def __init__(
        self, node: Node, channels: ChannelNode, robot: int, student: RunningStudent,
        p: dict[str, Any], seal: Seal, begin: Callable[[], None],
    ) -> None:
        self._name = node.get_fully_qualified_name()
        self.inference = SharedInference(student, p['share'], begin=begin)
        self._helpers = Helpers(
            node, channels, robot, self.inference, partial(packing_of, p), seal)

    def close(self) -> None:
        """Let all helpers go; frames that are under way are lost."""
        self._helpers.close()
        self.inference.close()

    def describe(self, status: StudentStatus) -> None:
        """Say in ``status`` how frames are shared, and who does how much."""
        doing, shares = self.inference.shares()
        standings = self._helpers.standings()
        status.share = doing
        if doing == ALONE:
            status.share += ': ' + (
                'no helper has joined' if not any(each.device for each in standings.values())
                else self.inference.errors or 'helpers are measured, or too slow')
        own, *others = shares
        devices = [_device(self._name, own, None)]
        devices += [_device(share.device, share, standings.get(share.device)) for share in others]
        known = {device.name for device in devices}
        devices += [DeviceShare(
            name=name, state=clipped(standing.status.detail or 'joins', _LONGEST_STATE),
            service_ms=math.nan, link_ms=math.nan)
            for name, standing in standings.items() if name not in known]
        status.devices = devices[:1 + MOST_HELPERS]


def _device(name: str, share: Share, standing: Standing | None) -> DeviceShare:
    pace = share.pace
    state = WORKS if pace is not None else 'is measured'
    status = standing.status if standing is not None else None
    return DeviceShare(
        name=name, state=state if share.answers or share.device == OWN else 'does not answer',
        frames=share.frames, failures=0 if status is None else status.failures,
        queued=standing.device.queued if standing is not None and standing.device else 0,
        service_ms=math.nan if pace is None else 1e3 * pace.service,
        link_ms=math.nan if pace is None else 1e3 * pace.way)
