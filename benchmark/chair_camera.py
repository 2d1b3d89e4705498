# SPDX-License-Identifier: Apache-2.0
"""A camera for one robot, and what comes of its frames: prints a line of JSON when all is seen."""

from __future__ import annotations

import argparse
from array import array
import json
from pathlib import Path
import threading
import time

import cv2
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CompressedImage
from shadowtutor_msgs.msg import StudentStatus

from shadowtutor_ros.nodes import qos
from shadowtutor_ros.sources import open_source
from shadowtutor_ros.wire.messages import header_to_msg, stamp_from_msg

_LOOPED = 100  # frames


def pictures(video: Path, width: int, height: int) -> list[array[int]]:
    """Return a video's first frames as JPEGs of that size."""
    found = []
    for original in open_source(str(video)):
        frame = cv2.resize(original, (width, height), interpolation=cv2.INTER_AREA)
        found.append(array('B', cv2.imencode(
            '.jpeg', frame, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()))
        if len(found) == _LOOPED:
            break
    return found


class Camera:
    """Publishes at a steady rate and keeps the stamp and arrival of every mask, in seconds."""

    def __init__(self, images: list[array[int]], rate: float) -> None:
        self._images = images
        self._period = 1 / rate
        self.seen: list[tuple[float, float]] = []
        self.works, self.share = 0, ''
        self._node = rclpy.create_node('chair_camera')
        self._camera = self._node.create_publisher(
            CompressedImage, '/camera/compressed', qos.CAMERA)
        self._node.create_subscription(
            CompressedImage, '/student/mask/rle', self._on_mask, qos.PICTURE)
        self._node.create_subscription(
            StudentStatus, '/student/status', self._on_status, qos.STATE)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=target)
                         for target in (self._executor.spin, self._publish)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End both threads and the node."""
        self._ended.set()
        self._executor.shutdown()
        for thread in self._threads:
            thread.join()
        self._node.destroy_node()

    def _publish(self) -> None:
        number = 0
        while not self._ended.wait(self._period):
            self._camera.publish(CompressedImage(
                header=header_to_msg(time.time_ns(), 'camera'), format='jpeg',
                data=self._images[number % len(self._images)]))
            number += 1

    def _on_mask(self, msg: CompressedImage) -> None:
        self.seen.append((stamp_from_msg(msg.header.stamp) * 1e-9, time.time()))

    def _on_status(self, msg: StudentStatus) -> None:
        self.works = sum(device.state == 'works' for device in msg.devices)
        self.share = msg.share


def main() -> None:
    parser = argparse.ArgumentParser('chair_camera', description=__doc__)
    parser.add_argument('video', type=Path)
    parser.add_argument('--size', type=int, nargs=2, default=(640, 480))
    parser.add_argument('--rate', type=float, required=True)
    parser.add_argument('--devices', type=int, required=True)
    parser.add_argument('--warm', type=float, default=6.0, help='seconds after all work')
    parser.add_argument('--seconds', type=float, default=10.0)
    options = parser.parse_args()
    rclpy.init()
    camera = Camera(pictures(options.video, *options.size), options.rate)
    deadline = time.monotonic() + 60.0
    while not camera.seen or (options.devices > 1 and camera.works < options.devices):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    time.sleep(options.warm)
    print('measures', flush=True)
    started, first = time.time(), len(camera.seen)
    time.sleep(options.seconds)
    seen = camera.seen[first:]
    print(json.dumps({'started': started, 'ended': time.time(), 'seen': seen,
                      'works': camera.works, 'share': camera.share}), flush=True)
    camera.close()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
