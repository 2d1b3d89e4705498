# SPDX-License-Identifier: Apache-2.0
"""The teacher node: naive offloading, every frame to the teacher and its mask back (section 6)."""

from __future__ import annotations

from typing import Any

from sensor_msgs.msg import Image
import torch

from shadowtutor_ros.assets import weights_at_hand
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.model.device import pick_device
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.toolkit.parameters import declare
from shadowtutor_ros.nodes.toolkit.spin import run, WorkingNode
from shadowtutor_ros.nodes.toolkit.topics import publisher, subscription
from shadowtutor_ros.nodes.tutor_parameters import TUTOR_PARAMETERS
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.protocol import TeacherError
from shadowtutor_ros.wire.errors import BadImage
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.messages import stamp_from_msg
from shadowtutor_ros.wire.pixels import image_to_bgr

_NAMES = ('teacher', 'teacher_weights', 'score_threshold', 'labels_fps', 'classes', 'device',
          'threads', 'max_pixels')
TEACHER_PARAMETERS = tuple(p for p in TUTOR_PARAMETERS if p.name in _NAMES)


class TeacherNode(WorkingNode):
    """Subscribes to ``image``; publishes ``~/mask``, mono8 class ids under the image's header."""

    def __init__(self) -> None:
        super().__init__('teacher')
        p = declare(self, TEACHER_PARAMETERS)
        device = pick_device(p['device'])
        if p['threads']:
            torch.set_num_threads(p['threads'])
        self._max_pixels = p['max_pixels']
        classes = ClassSet.load(config_file(p['classes'], 'classes'))
        self._teacher = create_teacher(
            p['teacher'], classes, device=str(device),
            weights=p['teacher_weights'] or weights_at_hand(p['teacher']),
            score_threshold=p['score_threshold'], fps=p['labels_fps'])
        self._publisher = publisher(self, Image, '~/mask', qos.REPLAY)
        subscription(self, Image, 'image', self._label, qos.REPLAY)
        self.get_logger().info(f'{self._teacher.name} labels {len(classes)} classes on {device}')

    def _label(self, msg: Image) -> None:
        try:
            labelling = self._teacher.label(
                image_to_bgr(msg, self._max_pixels), stamp_from_msg(msg.header.stamp) * 1e-9)
        except (BadImage, TeacherError) as error:  # one bad frame must not take the node down
            self.get_logger().warning(
                f'{type(error).__name__}: {error}', throttle_duration_sec=5.0)
            return
        self._publisher.publish(image_from_array(labelling.class_ids, 'mono8', msg.header))


def main(args: list[str] | None = None) -> Any:
    """Run the teacher node."""
    return run(TeacherNode, args, threads=2)


if __name__ == '__main__':
    main()
