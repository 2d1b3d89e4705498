# SPDX-License-Identifier: Apache-2.0
"""What a student node says of itself: ``~/status`` and ``/diagnostics``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.diagnostics import DiagnosticLimits, StudentDiagnostics
from shadowtutor_ros.nodes.link.rivals import crowd
from shadowtutor_ros.nodes.link.tutors import gone_words, Tutors
from shadowtutor_ros.nodes.student_parameters import OFF
from shadowtutor_ros.nodes.student_sharing import StudentSharing
from shadowtutor_ros.nodes.student_status import empty_status, status_of
from shadowtutor_ros.nodes.toolkit.topics import publisher
from shadowtutor_ros.runtime.student import StudentLoop
from shadowtutor_ros.transfer.path import PathEstimate


@dataclass(frozen=True)
class StudentMoment:
    """
    A student node at one moment.

    ``details`` are what it says of its first student and of its last frame, ``losses`` what of
    its camera, each empty for nothing.
    """

    loop: StudentLoop | None
    tutors: Tutors | None
    active: bool
    phase: str
    problem: str
    details: tuple[str, str]
    losses: str
    dropped: int
    rejected: int
    sharing: StudentSharing | None


class StudentReports:
    """The topics on which ``node`` tells of itself; ``goal_timeout`` in seconds."""

    def __init__(
        self, node: Node, stream_id: str, tutor_names: Sequence[str], goal_timeout: float,
        limits: DiagnosticLimits,
    ) -> None:
        self._node = node
        self._name = node.get_fully_qualified_name()
        self._stream_id = stream_id
        self._tutor_names = tutor_names
        self._goal_timeout = goal_timeout
        self._crowd = ''  # of tutors, if it is one
        self._status = publisher(node, StudentStatus, '~/status', qos.STATE)
        self._diagnostics = StudentDiagnostics(self._name, limits)
        self._array = publisher(node, DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)

    @property
    def limits(self) -> DiagnosticLimits:
        """Where the diagnostics are not OK any more."""
        return self._diagnostics.limits

    @limits.setter
    def limits(self, limits: DiagnosticLimits) -> None:
        self._diagnostics.limits = limits

    def publish(self, moment: StudentMoment) -> None:
        """Publish the status; with a problem the diagnostics, too."""
        if moment.problem:
            self.diagnose(moment)
        else:
            self._status.publish(self._status_of(moment))

    def diagnose(self, moment: StudentMoment) -> None:
        """Look at the graph, too, and publish both."""
        node, tutors = self._node, moment.tutors
        self._crowd = ''
        if tutors is not None:
            serving = tutors.serving
            self._crowd = crowd(node, f'{serving.name}/distill', serving.lost())
        status = self._status_of(moment)
        self._status.publish(status)
        diagnostics = self._diagnostics.of(status, time.monotonic(), moment.problem)
        diagnostics.header.stamp = node.get_clock().now().to_msg()
        self._array.publish(diagnostics)
        if node.count_publishers(self._status.topic_name) > 1:
            node.get_logger().warning(
                f'another node is named {self._name}, or was a moment ago: it has the same topics '
                'and services; give every robot a namespace', throttle_duration_sec=60.0)

    def _status_of(self, moment: StudentMoment) -> StudentStatus:
        loop, tutors = moment.loop, moment.tutors
        channel = tutors.serving.channel if tutors is not None else None
        gone = tutors is not None and tutors.are_gone()
        if loop is None:
            status = empty_status(StudentStatus.WAITING)
        else:
            status = status_of(loop, channel.path if channel is not None else PathEstimate(),
                               self._goal_timeout)
            if gone:
                status.link = StudentStatus.LINK_FAILED
        if tutors is not None:
            status.tutor, status.handovers = tutors.serving.node_name, tutors.handovers
        of_link = gone_words(self._tutor_names) if gone else status.detail
        details = [*moment.details, self._crowd, of_link, moment.losses]
        if not moment.active:
            status.state = StudentStatus.INACTIVE
            details = [moment.phase, moment.problem, *details]
        status.detail = '; '.join(filter(None, details))
        status.stream_id = self._stream_id
        if moment.sharing is None:
            status.share = OFF
        else:
            moment.sharing.describe(status)
        status.frames_dropped, status.frames_rejected = moment.dropped, moment.rejected
        return status
