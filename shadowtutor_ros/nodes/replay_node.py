# SPDX-License-Identifier: Apache-2.0
"""The replay node: a video file, image folder, rosbag or camera as a camera topic."""

from __future__ import annotations

from array import array
import threading
import time
from typing import Any

import cv2
from sensor_msgs.msg import CompressedImage, Image

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.parameters import declare, Parameter
from shadowtutor_ros.nodes.spin import run, WorkingNode
from shadowtutor_ros.video import Frame, open_source
from shadowtutor_ros.wire.images import image_from_array
from shadowtutor_ros.wire.messages import header_to_msg, stamp_from_msg

REPLAY_PARAMETERS = (
    Parameter('source', '', 'Video file, folder of images, rosbag (folder, .mcap, .db3), '
              'or camera index.'),
    Parameter('pace', 'rate', 'rate: by the clock; lockstep: the next frame when the mask of '
              'the last has come, so that none is lost.', choices=('rate', 'lockstep')),
    Parameter('fps', 0.0, "Frames per second; 0: the file's.", 0.0, 1000.0),
    Parameter('stamps', 'now', 'now: the node clock; media: frame index / fps from zero.',
              choices=('now', 'media')),
    Parameter('frames', 0, 'Stop after this many frames; 0: all.', 0, 2**31 - 1),
    Parameter('loop', False, 'Begin again at the end.'),
    Parameter('frame_id', 'camera', 'frame_id of the images.'),
    Parameter('image_transport', 'raw', 'Publish image (sensor_msgs/Image) or '
              'image/compressed (JPEG).', choices=('raw', 'compressed')),
    Parameter('jpeg_quality', 90, 'JPEG quality of image/compressed.', 1, 100),
    Parameter('mask_timeout', 30.0, 'lockstep: go on without the mask after this many seconds.',
              0.1, 3600.0),
)


class ReplayNode(WorkingNode):
    """Publishes ``image``; with pace lockstep it subscribes to ``mask``."""

    def __init__(self) -> None:
        super().__init__('replay')
        p = self._values = declare(self, REPLAY_PARAMETERS)
        self._source = open_source(p['source'])
        self._fps = p['fps'] or self._source.fps
        self._compressed = p['image_transport'] == 'compressed'
        self._publisher = self.create_publisher(
            CompressedImage if self._compressed else Image,
            'image/compressed' if self._compressed else 'image',
            qos.REPLAY, qos_overriding_options=qos.OVERRIDABLE)
        self._mask_stamp = -1
        self._changed = threading.Condition()
        self._stopped = False
        if p['pace'] == 'lockstep':
            self.create_subscription(
                Image, 'mask', self._on_mask, qos.CAMERA, qos_overriding_options=qos.OVERRIDABLE)
        self._thread = threading.Thread(target=self._replay, name='replay')
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _on_mask(self, msg: Image) -> None:
        with self._changed:
            self._mask_stamp = stamp_from_msg(msg.header.stamp)
            self._changed.notify_all()

    def _replay(self) -> None:
        p = self._values
        lockstep = p['pace'] == 'lockstep'
        if lockstep:
            while not (self._publisher.get_subscription_count() or self._pause(0.05)):
                pass
        count = 0
        due = time.monotonic()
        while not self._stopped:
            for frame in self._source:
                stamp = (round(count * 1e9 / self._fps) if p['stamps'] == 'media'
                         else self.get_clock().now().nanoseconds)
                self._publish(frame, stamp)
                count += 1
                if lockstep:
                    self._wait_for_mask(stamp)
                else:
                    due = max(due + 1 / self._fps, time.monotonic() - 1 / self._fps)
                    self._pause(due - time.monotonic())
                if self._stopped or count == p['frames']:
                    break
            if not p['loop'] or count == p['frames']:
                break
        self.get_logger().info(f'{count} frames of {self._source.source} replayed')

    def _publish(self, frame: Frame, stamp: int) -> None:
        header = header_to_msg(stamp, self._values['frame_id'])
        if self._compressed:
            _, data = cv2.imencode(
                '.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, self._values['jpeg_quality']])
            self._publisher.publish(CompressedImage(
                header=header, format='bgr8; jpeg compressed bgr8',
                data=array('B', data.tobytes())))
        else:
            self._publisher.publish(image_from_array(frame, 'bgr8', header))

    def _wait_for_mask(self, stamp: int) -> None:
        timeout = self._values['mask_timeout']
        with self._changed:
            came = self._changed.wait_for(
                lambda: self._mask_stamp == stamp or self._stopped, timeout)
        if not came:
            self.get_logger().warning(f'no mask within {timeout:g} s, goes on without')

    def _pause(self, seconds: float) -> bool:
        """Wait, or less if the node stops; return whether it stops."""
        with self._changed:
            return self._changed.wait_for(lambda: self._stopped, max(0.0, seconds))


def main(args: list[str] | None = None) -> Any:
    """Run the replay node."""
    return run(ReplayNode, args, threads=2)


if __name__ == '__main__':
    main()
