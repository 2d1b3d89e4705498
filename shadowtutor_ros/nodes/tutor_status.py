# SPDX-License-Identifier: Apache-2.0
"""What a tutor does, as ``~/status`` and /diagnostics."""

from __future__ import annotations

import threading
import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from shadowtutor_msgs.msg import StreamStatus, TutorStatus, WorkerStatus
import torch

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.diagnostics import TutorDiagnostics
from shadowtutor_ros.nodes.link.rivals import crowd
from shadowtutor_ros.nodes.toolkit.topics import publisher
from shadowtutor_ros.runtime.report import TutorReport
from shadowtutor_ros.runtime.teaching import Teaching


class TutorStatusTopics:
    """
    Publishes both and counts key frames, from any thread.

    ``error_failures`` failed key frames in a row are an error.
    """

    def __init__(self, node: Node, error_failures: int) -> None:
        self._node = node
        self._clock = node.get_clock()
        self._status = publisher(node, TutorStatus, '~/status', qos.STATE)
        self._array = publisher(node, DiagnosticArray, '/diagnostics', qos.DIAGNOSTICS)
        self._diagnostics = TutorDiagnostics(node.get_fully_qualified_name(), error_failures)
        self._teacher = ''
        self._device: torch.device | None = None
        self._place = ''
        self._taught = self._failures = 0
        self._detail = ''
        self._lock = threading.Lock()
        self._last = (time.monotonic(), 0.0)

    def begin(self, teacher: str, device: torch.device | None, place: str = '') -> None:
        """Name the teacher of a fresh tutor and its device, or if that has many the ``place``."""
        self._teacher, self._device, self._place = teacher, device, place
        self._detail = ''
        self._last = (time.monotonic(), 0.0)

    def limit(self, error_failures: int) -> None:
        """Say ERROR from so many failed key frames in a row on."""
        self._diagnostics.error_failures = error_failures

    def on_taught(self) -> None:
        """Count a key frame that was taught."""
        with self._lock:
            self._taught += 1
            self._detail = ''

    def on_failure(self, detail: str) -> None:
        """Count a key frame that could not be taught."""
        with self._lock:
            self._failures += 1
            self._detail = detail

    def publish(self, tutor: Teaching | None, phase: str, problem: str) -> None:
        """Publish both; ``phase`` says what an inactive node is, ``problem`` why."""
        report = tutor.report() if tutor is not None else TutorReport(0, 0.0, ())
        now, (then, before) = time.monotonic(), self._last
        self._last = now, report.teaching_seconds
        stamp = self._clock.now().to_msg()
        status = TutorStatus(
            active=not phase, teacher=self._teacher, device=str(self._device or self._place),
            detail='; '.join(filter(None, (
                phase, problem, crowd(self._node, '~/distill'), self._detail))),
            queued=report.queued,
            load=min(1.0, max(0.0, report.teaching_seconds - before) / max(now - then, 1e-3)),
            steps_share=report.steps_share,
            key_frames=self._taught, failures=self._failures, gpu_memory=self._gpu_memory(),
            max_streams=tutor.max_streams if tutor is not None else 0,
            stream_memory=tutor.bytes_per_stream if tutor is not None else 0,
            streams=[StreamStatus(
                stream_id=s.stream_id, version=s.version, key_frames=s.key_frames,
                initial_metric=s.initial_metric, metric=s.metric, steps=s.steps,
                stride_floor=s.stride_floor, idle_seconds=s.idle_seconds,
                library_id=s.library_id, library_gain=s.library_gain, worker=s.worker)
                for s in report.streams],
            workers=[WorkerStatus(
                name=w.name, where=w.where, ready=w.ready, queued=w.queued, streams=w.streams,
                load=w.load) for w in report.workers])
        status.header.stamp = stamp
        self._status.publish(status)
        diagnostics = self._diagnostics.of(status, problem)
        diagnostics.header.stamp = stamp
        self._array.publish(diagnostics)

    def _gpu_memory(self) -> int:
        if self._device is None or self._device.type != 'cuda':
            return 0
        return torch.cuda.memory_allocated(self._device)
