# SPDX-License-Identifier: Apache-2.0
"""The replay node: a video file, image folder, rosbag or camera as a camera topic."""

from __future__ import annotations

from collections.abc import Callable
import math
import threading
import time
from typing import Any

from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.srv import Pause, Seek, Step

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.nodes import qos
from shadowtutor_ros.nodes.toolkit.parameters import declare, Parameter, ParameterError
from shadowtutor_ros.nodes.toolkit.spin import report_dds, run, WorkingNode
from shadowtutor_ros.nodes.toolkit.topics import compressed_topic, publisher, subscription
from shadowtutor_ros.playback import Playback, PlaybackError
from shadowtutor_ros.sources import open_source
from shadowtutor_ros.video import FrameReader
from shadowtutor_ros.wire.images import compressed_from_array, image_from_array
from shadowtutor_ros.wire.key_frame import JPEG
from shadowtutor_ros.wire.messages import header_to_msg, stamp_from_msg, stamp_to_msg

_JPEG_QUALITY = 90

REPLAY_PARAMETERS = (
    Parameter('source', '', 'Video file, folder of images, rosbag (folder, .mcap, .db3), '
              'or camera index.'),
    Parameter('topic', '', 'Image topic of a rosbag; empty: its only camera.'),
    Parameter('pace', 'rate', 'rate: by the clock; lockstep: the next frame when the mask of '
              'the last has come, so that none is lost.', choices=('rate', 'lockstep')),
    Parameter('fps', 0.0, "Frames per second; 0: the file's.", 0.0, 1000.0),
    Parameter('stamps', 'now', 'now: the node clock; media: frame index / fps from zero.',
              choices=('now', 'media')),
    Parameter('clock', False, 'With stamps media: publish each stamp on /clock before the frame.'),
    Parameter('frames', 0, 'Stop after this many frames; 0: all.', 0, 2**31 - 1),
    Parameter('loop', False, 'Begin again at the end.'),
    Parameter('frame_id', 'camera', 'frame_id of the images.'),
    Parameter('image_transport', 'raw', 'Publish image (sensor_msgs/Image) or '
              'image/compressed (JPEG).', choices=('raw', 'compressed')),
    Parameter('mask_timeout', 30.0, 'lockstep: go on without the mask after this many seconds.',
              0.1, 3600.0),
)


class ReplayNode(WorkingNode):
    """
    Publishes ``image`` and on demand ``/clock``; with pace lockstep it subscribes to ``mask``.

    Serves ``~/pause``, ``~/step`` and ``~/seek``.
    """

    def __init__(self) -> None:
        super().__init__('replay')
        p = self._values = declare(self, REPLAY_PARAMETERS)
        self._source = open_source(p['source'], p['topic'])
        if damage := str(self._source.damage):
            self.get_logger().warning(damage)
        self._lockstep = p['pace'] == 'lockstep'
        self._playback = Playback(
            p['fps'] or self._source.fps, self._source.count, time.monotonic(),
            frames=p['frames'], loop=p['loop'],
            mask_timeout=p['mask_timeout'] if self._lockstep else None)
        self._compressed = p['image_transport'] == 'compressed'
        self._publisher = publisher(
            self, CompressedImage if self._compressed else Image,
            compressed_topic(self, 'image') if self._compressed else 'image', qos.REPLAY)
        self._clock_publisher = self._create_clock() if p['clock'] else None
        self._stamp = -1  # of the last frame
        self._changed = threading.Condition()  # guards the playback and what is published
        self._stopped = False
        if self._lockstep:
            subscription(self, Image, 'mask', self._on_mask, qos.CAMERA)
        self.create_service(Pause, '~/pause', lambda request, response: self._ask(
            response, lambda now: self._playback.pause(request.paused, now)))
        self.create_service(Step, '~/step', lambda request, response: self._ask(
            response, lambda now: self._playback.step(request.frames, now)))
        self.create_service(Seek, '~/seek', lambda request, response: self._ask(
            response, lambda now: self._playback.seek(request.seconds, now)))
        report_dds(self)  # the shared memory that an image goes through is its sender's
        self._thread = threading.Thread(target=self._replay, name='replay')
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._thread.join()

    def _create_clock(self) -> Any:
        if self._values['stamps'] != 'media':
            raise ParameterError(
                f"clock: expected stamps 'media', got {self._values['stamps']!r}")
        if self.get_parameter('use_sim_time').value:
            raise ParameterError('clock: expected use_sim_time false, got true')
        # Best effort, depth 1: what rclcpp and rclpy subscribe with.
        return publisher(self, Clock, '/clock', qos.CAMERA)

    def _ask(self, response: Any, change: Callable[[float], None]) -> Any:
        with self._changed:
            try:
                change(time.monotonic())
                response.success = True
            except PlaybackError as error:
                response.message = str(error)
            self._changed.notify_all()
        return response

    def _on_mask(self, msg: Image) -> None:
        with self._changed:
            if stamp_from_msg(msg.header.stamp) == self._stamp:
                self._playback.answered(time.monotonic())
                self._changed.notify_all()

    def _replay(self) -> None:
        if self._lockstep:
            self._wait_for_viewer()
        reader = FrameReader(self._source)
        while (place := self._next_place()) is not None:
            try:
                frame = reader.read(place)
            except Exception as error:  # the services must go on to be of use
                self.get_logger().error(f'{type(error).__name__}: {error}')
                frame = None
            self._take(place, frame)
        if not self._playback.ended:
            self._report()

    def _wait_for_viewer(self) -> None:
        with self._changed:
            while not (self._stopped or self._publisher.get_subscription_count()):
                self._changed.wait(0.05)

    def _next_place(self) -> int | None:
        """Wait until a frame is due and return its place; None: the node stops."""
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                if self._playback.give_up(now):
                    timeout = self._values['mask_timeout']
                    self.get_logger().warning(f'no mask within {timeout:g} s, goes on without')
                wait = self._playback.wake_at - now
                if wait <= 0:
                    return self._playback.place
                self._changed.wait(None if wait == math.inf else wait)
        return None

    def _take(self, place: int, frame: Frame | None) -> None:
        """Publish the frame, unless it is not wanted any more."""
        with self._changed:
            playback = self._playback
            if self._stopped or not playback.wants(place, time.monotonic()):
                return
            if frame is None:
                playback.end()
            elif place in self._source.damage.frames and not self._lockstep:
                playback.published(time.monotonic())
            else:
                self._stamp = (playback.stamp if self._values['stamps'] == 'media'
                               else self.get_clock().now().nanoseconds)
                self._publish(frame)
                playback.published(time.monotonic())
            if playback.ended:
                self._report()

    def _report(self) -> None:
        self.get_logger().info(
            f'{self._playback.frame} frames of {self._source.source} replayed')
        if damage := str(self._source.damage):
            self.get_logger().warning(damage)

    def _publish(self, frame: Frame) -> None:
        if self._clock_publisher is not None:
            # A time of 0 means that there is none yet.
            self._clock_publisher.publish(Clock(clock=stamp_to_msg(max(1, self._stamp))))
        header = header_to_msg(self._stamp, self._values['frame_id'])
        if self._compressed:
            self._publisher.publish(
                compressed_from_array(frame, JPEG, header, _JPEG_QUALITY))
        else:
            self._publisher.publish(image_from_array(frame, 'bgr8', header))


def main(args: list[str] | None = None) -> Any:
    """Run the replay node."""
    return run(ReplayNode, args, threads=2)


if __name__ == '__main__':
    main()
