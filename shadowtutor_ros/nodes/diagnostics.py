# SPDX-License-Identifier: Apache-2.0
"""A student's state as diagnostic_msgs, for rqt_robot_monitor and diagnostic_aggregator."""

from __future__ import annotations

from collections.abc import Callable
import math

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from shadowtutor_msgs.msg import StudentStatus

OK, WARN, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.STALE

_OLD = 2  # times max_stride: an update at least should have come


class StudentDiagnostics:
    """
    Turns ``~/status`` into diagnostics; rates are those since the last call.

    ``name`` is the node's; ``max_stride`` gives its parameter, in frames.
    """

    def __init__(self, name: str, max_stride: Callable[[], int]) -> None:
        self._name = name
        self._max_stride = max_stride
        self._last: tuple[float, StudentStatus] | None = None

    def of(self, status: StudentStatus, now: float) -> DiagnosticArray:
        """Return the diagnostics of ``status`` at ``now``, in seconds of any clock."""
        then, last = self._last or (math.nan, status)
        self._last = now, status
        seconds = now - then

        def rate(field: str) -> float:
            return float(getattr(status, field) - getattr(last, field)) / seconds

        level, message = self._judge(status, last, rate('frames_processed'))
        values = {
            'weight version': status.version,
            'staleness, frames': status.staleness_frames,
            'mIoU of the last key frame': f'{status.metric:.3f}',
            'stride, frames': status.stride,
            'frames per second': f'{rate("frames_processed"):.1f}',
            'dropped per second': f'{rate("frames_dropped"):.1f}',
            'inference, ms': f'{status.inference_ms:.1f}',
            'turnaround, ms': f'{status.turnaround_ms:.0f}',
            "tutor's queue, ms": f'{status.queue_ms:.0f}',
            'kbit/s up': f'{8e-3 * rate("bytes_up"):.1f}',
            'kbit/s down': f'{8e-3 * rate("bytes_down"):.1f}',
            'key frames failed': status.failures}
        return DiagnosticArray(status=[DiagnosticStatus(
            level=level, name=f'{self._name}: student', message=message,
            hardware_id=status.stream_id,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])])

    def _judge(
        self, status: StudentStatus, last: StudentStatus, fps: float,
    ) -> tuple[bytes, str]:
        if status.state == StudentStatus.WAITING:
            return WARN, status.detail or 'has no weights yet'
        if fps == 0.0:
            return STALE, 'no image was segmented since the last report'
        if status.frames_rejected > last.frames_rejected:
            return WARN, f'images cannot be read: {status.detail}'
        if status.link == StudentStatus.LINK_FAILED:
            return WARN, f'the last key frame failed: {status.detail}'
        if status.staleness_frames > _OLD * self._max_stride():
            return WARN, f'runs weights that are {status.staleness_frames} frames old'
        return OK, 'segments'
