# SPDX-License-Identifier: Apache-2.0
"""A student's and a tutor's state as diagnostic_msgs, for robot monitors and aggregators."""

from __future__ import annotations

from dataclasses import dataclass
import math

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from shadowtutor_msgs.msg import StudentStatus, TutorStatus

from shadowtutor_ros.monitor.words import limits, who_does_how_much
from shadowtutor_ros.runtime.helper import Helper

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE)


@dataclass(frozen=True)
class DiagnosticLimits:
    """
    Where OK ends: WARN below ``metric`` (mIoU 0-1), above ``staleness`` frames and after one
    failed key frame; ERROR after ``failures`` in a row.
    """

    metric: float = 0.5
    staleness: int = 128
    failures: int = 5


class _FailuresInARow:
    """Failures since the last success, from two counters."""

    def __init__(self) -> None:
        self._successes = self._failures = 0

    def count(self, successes: int, failures: int) -> int:
        """Return them."""
        if successes != self._successes:
            self._successes, self._failures = successes, failures
        return failures - self._failures


class StudentDiagnostics:
    """Turns ``~/status`` of the node ``name`` into diagnostics with rates since the last call."""

    def __init__(self, name: str, limits: DiagnosticLimits) -> None:
        self.limits = limits
        self._name = name
        self._failures = _FailuresInARow()
        self._last: tuple[float, StudentStatus] | None = None

    def of(self, status: StudentStatus, now: float, problem: str = '') -> DiagnosticArray:
        """
        Return the diagnostics of ``status`` at ``now``, in seconds of any clock.

        ``problem`` says why the node cannot work at all.
        """
        then, last = self._last or (math.nan, status)
        self._last = now, status
        seconds = now - then

        def rate(field: str) -> float:
            grown = getattr(status, field) - getattr(last, field)
            return max(0.0, float(grown)) / seconds  # counters begin again with the node

        level, message = (ERROR, problem) if problem else self._judge(
            status, last, rate('frames_processed'))
        return _array(f'{self._name}: student', level, message, status.stream_id, {
            'tutor': status.tutor,
            'times another tutor took over': status.handovers,
            'weight version': status.version,
            'staleness, frames': status.staleness_frames,
            'mIoU of the last key frame': f'{status.metric:.3f}',
            'stride, frames': status.stride,
            "tutor's least stride, frames": status.tutor_stride_floor,
            'frames per second': f'{rate("frames_processed"):.1f}',
            'dropped per second': f'{rate("frames_dropped"):.1f}',
            'inference, ms': f'{status.inference_ms:.1f}',
            'turnaround, ms': f'{status.turnaround_ms:.0f}',
            "tutor's queue, ms": f'{status.queue_ms:.0f}',
            'kbit/s up': f'{8e-3 * rate("bytes_up"):.1f}',
            'kbit/s down': f'{8e-3 * rate("bytes_down"):.1f}',
            'key frames failed': status.failures,
            'shared with helpers': who_does_how_much(status) or status.share})

    def _judge(
        self, status: StudentStatus, last: StudentStatus, fps: float,
    ) -> tuple[bytes, str]:
        failures = self._failures.count(status.updates_applied, status.failures)
        if status.state != StudentStatus.RUNNING:
            return WARN, status.detail or 'has no weights yet'
        if status.frames_rejected > last.frames_rejected:
            return WARN, f'images cannot be read: {status.detail}'
        if fps == 0.0:
            return STALE, 'no image was segmented since the last report'
        if failures >= self.limits.failures:
            return ERROR, f'{failures} key frames failed in a row: {status.detail}'
        if status.link == StudentStatus.LINK_FAILED:
            return WARN, f'the last key frame failed: {status.detail}'
        if status.staleness_frames > self.limits.staleness:
            return WARN, f'runs weights that are {status.staleness_frames} frames old'
        if status.metric < self.limits.metric:
            return WARN, f'mIoU {status.metric:.2f} on the last key frame'
        return OK, 'segments'


class TutorDiagnostics:
    """
    Turns ``~/status`` of the tutor node ``name`` into diagnostics.

    WARN while inactive and after a failed key frame, ERROR after ``error_failures`` in a row.
    """

    def __init__(self, name: str, error_failures: int) -> None:
        self.error_failures = error_failures
        self._name = name
        self._failures = _FailuresInARow()

    def of(self, status: TutorStatus, problem: str = '') -> DiagnosticArray:
        """Return the diagnostics of ``status``; ``problem``: why the node cannot work at all."""
        level, message = (ERROR, problem) if problem else self._judge(status)
        return _array(f'{self._name}: tutor', level, message, status.device, {
            'teacher': status.teacher,
            'streams': f'{len(status.streams)} of {status.max_streams}',
            'key frames waiting': status.queued,
            'load': f'{status.load:.2f}',
            'share of the steps': f'{status.steps_share:.2f}',
            'key frames taught': status.key_frames,
            'key frames failed': status.failures,
            'memory of a stream, MiB': f'{status.stream_memory / 2**20:.1f}',
            'GPU memory, MiB': f'{status.gpu_memory / 2**20:.0f}'})

    def _judge(self, status: TutorStatus) -> tuple[bytes, str]:
        failures = self._failures.count(status.key_frames, status.failures)
        if not status.active:
            return WARN, status.detail
        if failures >= self.error_failures:
            return ERROR, f'{failures} key frames failed in a row: {status.detail}'
        if status.detail:
            return WARN, status.detail
        return OK, f'teaches {len(status.streams)} streams{limits(status)}'


def helper_diagnostics(
    name: str, helper: Helper | None, helps: bool, message: str, problem: str,
) -> DiagnosticArray:
    """
    Return the diagnostics of the helper node ``name``: WARN while it does not help its robot.

    ``helper`` is None before it is configured; ``problem`` says why it cannot work at all.
    """
    level = ERROR if problem else OK if helps else WARN
    return _array(f'{name}: helper', level, problem or message, name, {
        'weight version': 0 if helper is None else helper.version,
        'frames': 0 if helper is None else helper.frames,
        'failures': 0 if helper is None else helper.failures,
        'service, ms': f'{math.nan if helper is None else 1e3 * helper.service_seconds:.1f}'})


def _array(
    name: str, level: bytes, message: str, hardware_id: str, values: dict[str, object],
) -> DiagnosticArray:
    return DiagnosticArray(status=[DiagnosticStatus(
        level=level, name=name, message=message, hardware_id=hardware_id,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()])])
