# SPDX-License-Identifier: Apache-2.0
"""Nodes as processes for tests, and what is seen of them."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scene import Scene
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.harness.collector import Collector, LOSSLESS
from shadowtutor_ros.harness.processes import NodeProcess

CAMERA, MASK = '/camera', '/student/mask'
START = 60.0  # seconds that a process may take to be there on a busy machine
LOSSLESS_STUDENT = {
    **{f'qos_overrides.{CAMERA}.subscription.{k}': v for k, v in LOSSLESS.items()},
    **{f'qos_overrides.{MASK}.publisher.{k}': v for k, v in LOSSLESS.items()}}
LOSSLESS_REPLAY = {
    **{f'qos_overrides.{CAMERA}.publisher.{k}': v for k, v in LOSSLESS.items()},
    **{f'qos_overrides.{MASK}.subscription.{k}': v for k, v in LOSSLESS.items()}}


@dataclass
class System:
    """Starts nodes and sees what the student publishes."""

    stack: ExitStack
    logs: Path
    scene: Scene
    collector: Collector

    def tutor(self, name: str = 'tutor', **parameters: object) -> NodeProcess:
        return self._start('tutor_node', {
            'teacher': 'labels', 'teacher_weights': str(self.scene.label_maps),
            'labels_fps': self.scene.fps, 'checkpoint': 'random', 'threads': 1,
            'max_updates': 4, 'cold_start_updates': 4, **parameters}, {'__node': name})

    def endless_labels(self) -> str:
        """Label maps for all the minutes that the video may be looped."""
        labels = self.logs / 'labels.npz'
        np.savez_compressed(labels, labels=np.tile(np.stack(self.scene.labels), (80, 1, 1)))
        return str(labels)

    def student(self, **parameters: object) -> NodeProcess:
        return self._start('student_node', {
            'stream_id': 'test', 'threads': 1, 'precision': 'fp32', 'status_period': 0.1,
            **LOSSLESS_STUDENT, **parameters}, {'image': CAMERA})

    def replay(self, **parameters: object) -> NodeProcess:
        return self._start('replay_node', {
            'source': str(self.scene.video), 'stamps': 'media', **LOSSLESS_REPLAY,
            **parameters}, {'image': CAMERA, 'mask': MASK})

    def wait(self, wanted: Callable[[StudentStatus], bool]) -> StudentStatus:
        status = self.collector.wait_for_status(wanted, START)
        assert status is not None, f'never seen; the last status is {self.collector.status}'
        return status

    def masks(self, count: int) -> list[tuple[int, np.ndarray]]:
        received = []
        for index in range(count):
            mask = self.collector.next_mask(START)
            assert mask is not None, f'no mask {index}'
            received.append(mask)
        return received

    def _start(
        self, module: str, parameters: dict[str, object],
        remappings: dict[str, str] | None = None,
    ) -> NodeProcess:
        process = NodeProcess(module, parameters, self.logs / f'{module}.log', remappings)
        return self.stack.enter_context(process)
