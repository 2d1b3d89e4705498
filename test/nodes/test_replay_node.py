# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
import time
from typing import Any

from bag.recording import image as bag_image, record
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from scene import Scene
from sensor_msgs.msg import CompressedImage, Image
from shadowtutor_msgs.srv import Pause, Seek, Step

from shadowtutor_ros.bag.writer import write_bag
from shadowtutor_ros.harness.collector import LOSSLESS
from shadowtutor_ros.harness.processes import NodeProcess, ProcessDied
from shadowtutor_ros.wire.messages import stamp_from_msg
from shadowtutor_ros.wire.pixels import compressed_to_bgr, image_to_bgr

pytestmark = pytest.mark.ros

CAMERA = '/camera'
DEPTH = 1000  # more frames than any test has: whoever comes late gets them all
TIMEOUT = 60.0  # seconds that anything may take on a busy machine
SERVICES = {'pause': Pause, 'step': Step, 'seek': Seek}


class Viewer:
    """Sees what a replay publishes, with time from /clock, and asks its services."""

    def __init__(
        self, context: Context, image_type: type = Image, topic: str = CAMERA,
    ) -> None:
        self.images: list[Any] = []
        self.sent: list[tuple[int, str, int]] = []  # when (ns), what, with which stamp
        self.node = rclpy.create_node('viewer', context=context, parameter_overrides=[
            Parameter('use_sim_time', value=True)])
        self.node.create_subscription(image_type, topic, self._on_image, QoSProfile(
            depth=DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL))
        self.node.create_subscription(Clock, '/clock', self._on_clock, QoSProfile(
            depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT))
        self.clients = {name: self.node.create_client(kind, f'/replay/{name}')
                        for name, kind in SERVICES.items()}
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)

    @property
    def stamps(self) -> list[int]:
        return [stamp_from_msg(image.header.stamp) for image in self.images]

    def sent_since(self, when: int) -> list[tuple[str, int]]:
        """Return what was sent after ``when``, in the order of sending, with its stamps."""
        return [entry[1:] for entry in sorted(self.sent) if entry[0] > when]

    def until(self, wanted: Callable[[], object]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not wanted():
            assert time.monotonic() < deadline, (self.stamps, self.sent)
            self._executor.spin_once(timeout_sec=0.1)

    def ask(self, name: str, **request: object) -> str:
        """Return why the replay refuses, empty if it does not."""
        client = self.clients[name]
        self.until(client.service_is_ready)
        future = client.call_async(SERVICES[name].Request(**request))
        self.until(future.done)
        response = future.result()
        assert response.success is not bool(response.message)
        return str(response.message)

    def _on_image(self, msg: Any, info: dict[str, int]) -> None:
        self.images.append(msg)
        self.sent.append((info['source_timestamp'], 'image', self.stamps[-1]))

    def _on_clock(self, msg: Clock, info: dict[str, int]) -> None:
        self.sent.append((info['source_timestamp'], 'clock', stamp_from_msg(msg.clock)))


@pytest.fixture
def viewer(context: Context) -> Iterator[Viewer]:
    viewer = Viewer(context)
    yield viewer
    viewer.node.destroy_node()


@contextmanager
def replay(source: Path, log: Path, **parameters: object) -> Iterator[NodeProcess]:
    topic = CAMERA + ('/compressed' if 'image_transport' in parameters else '')
    overrides = {f'qos_overrides.{topic}.publisher.{name}': value
                 for name, value in (*LOSSLESS.items(), ('depth', DEPTH))}
    parameters = {'source': str(source), 'stamps': 'media', **overrides, **parameters}
    with NodeProcess('replay_node', parameters, log,
                     {'image': CAMERA}) as process:
        yield process


def check(viewer: Viewer, scene: Scene, places: list[int]) -> None:
    """Compare all that was seen with the frames at ``places``, stamped as in the first round."""
    assert viewer.stamps == [scene.stamp(place) for place in places]
    for image, place in zip(viewer.images, places):
        np.testing.assert_array_equal(image_to_bgr(image), scene.frames[place], f'{place}')


@pytest.mark.parametrize('name', ['bag', 'folder'])
def test_every_source_is_replayed_frame_by_frame_and_can_seek(
    tmp_path: Path, scene: Scene, viewer: Viewer, name: str,
) -> None:
    source = scene.video
    if name == 'bag':
        source = tmp_path / 'bag'
        write_bag(source, scene.frames, scene.fps)
    with replay(source, tmp_path / 'log'):
        viewer.until(lambda: len(viewer.images) >= 40)
        assert viewer.ask('seek', seconds=1.48) == ''  # it has ended and plays on
        viewer.until(lambda: len(viewer.images) >= 43)
    check(viewer, scene, [*range(40), 37, 38, 39])


@pytest.mark.parametrize(('pace', 'places'), [
    ('rate', [0, 1, 3, 4, 5]), ('lockstep', [0, 1, 1, 3, 4, 5])])
def test_a_damaged_frame_is_said_and_the_rest_is_published(
    tmp_path: Path, scene: Scene, viewer: Viewer, pace: str, places: list[int],
) -> None:
    """In lockstep, where each frame is awaited, the one before stands in its place."""
    for index, image in enumerate(sorted(scene.video.iterdir())[:6]):
        (tmp_path / f'{index}.png').write_bytes(b'' if index == 2 else image.read_bytes())
    with replay(tmp_path, tmp_path / 'log', pace=pace, mask_timeout=0.1):
        viewer.until(lambda: len(viewer.images) >= len(places))
        viewer.until(lambda: 'damaged' in (tmp_path / 'log').read_text())
    assert viewer.stamps == [scene.stamp(k) for k in range(6) if k != 2 or pace == 'lockstep']
    assert [place(image, scene) for image in viewer.images] == places
    log = (tmp_path / 'log').read_text()
    assert '1 damaged frame, the first is 2: ' in log
    assert '2.png: not a readable image' in log


def test_of_two_cameras_in_a_bag_the_topic_is_replayed(
    tmp_path: Path, scene: Scene, viewer: Viewer,
) -> None:
    messages = []
    for name, frames in (('front', scene.frames[:3]), ('rear', scene.frames[3:6])):
        messages += [(f'/{name}', bag_image(frame, 'bgr8', index * 40_000_000))
                     for index, frame in enumerate(frames)]
    with replay(record(tmp_path / 'both', messages), tmp_path / 'log', topic='/rear'):
        viewer.until(lambda: len(viewer.images) >= 3)
    assert [place(image, scene) for image in viewer.images] == [3, 4, 5]


def test_lockstep_goes_on_without_masks(tmp_path: Path, scene: Scene, viewer: Viewer) -> None:
    with replay(scene.video, tmp_path / 'log', pace='lockstep', mask_timeout=0.1, frames=5):
        viewer.until(lambda: (tmp_path / 'log').read_text().count('no mask within 0.1 s') == 5)
    check(viewer, scene, [0, 1, 2, 3, 4])
    assert '5 frames of' in (tmp_path / 'log').read_text()


def test_a_paused_replay_publishes_what_is_asked_for_and_nothing_else(
    tmp_path: Path, scene: Scene, viewer: Viewer,
) -> None:
    with replay(scene.video, tmp_path / 'log', loop=True, fps=100.0):
        viewer.until(lambda: viewer.images)
        assert viewer.ask('step', frames=1).startswith('step: expected a replay that is paused')
        assert viewer.ask('pause', paused=True) == ''
        paused = time.time_ns()
        assert viewer.ask('seek', seconds=0.17) == ''
        assert viewer.ask('step', frames=3) == ''
        viewer.until(lambda: len(viewer.sent_since(paused)) >= 3)
        assert viewer.ask('seek', seconds=0.0) == ''
        assert viewer.ask('step') == ''
        viewer.until(lambda: len(viewer.sent_since(paused)) >= 4)
        assert 'expected 0 to 0.390 s, the last of 40 frames at 100 fps, got 0.4 s' in viewer.ask(
            'seek', seconds=0.4)
        assert viewer.ask('pause', paused=False) == ''
        viewer.until(lambda: len(viewer.sent_since(paused)) >= 60)
    asked = viewer.images[-len(viewer.sent_since(paused)):]
    places = [place(image, scene) for image in asked]
    assert places[:4] == [17, 18, 19, 0]
    assert places[4:] == [index % 40 for index in range(1, len(places) - 3)]


def place(image: Image, scene: Scene) -> int:
    """Return which frame of the scene it is."""
    pixels = image_to_bgr(image)
    return next(i for i, frame in enumerate(scene.frames) if np.array_equal(frame, pixels))


def test_at_the_end_it_answers_and_goes_on_from_another_place(
    tmp_path: Path, scene: Scene, viewer: Viewer,
) -> None:
    with replay(scene.video, tmp_path / 'log', frames=4):
        viewer.until(lambda: len(viewer.images) == 4)
        assert viewer.ask('pause', paused=True) == ''
        assert viewer.ask('step', frames=2) == (
            'step: expected a frame to come, got the end; seek goes back')
        assert 'the last of 4 frames' in viewer.ask('seek', seconds=0.16)
        assert viewer.ask('seek', seconds=0.08) == ''
        assert viewer.ask('step', frames=1) == ''
        viewer.until(lambda: len(viewer.images) == 5)
        assert viewer.ask('pause', paused=False) == ''
        viewer.until(lambda: (tmp_path / 'log').read_text().count('4 frames of') == 2)
        viewer.until(lambda: len(viewer.images) == 6)
    check(viewer, scene, [0, 1, 2, 3, 2, 3])


def test_the_clock_says_the_stamp_of_each_frame_before_it(
    tmp_path: Path, scene: Scene, viewer: Viewer,
) -> None:
    clock = viewer.node.get_clock()
    with replay(scene.video, tmp_path / 'log', clock=True, loop=True):
        viewer.until(lambda: clock.now().nanoseconds)
        assert viewer.ask('pause', paused=True) == ''
        paused = time.time_ns()
        expected: list[tuple[str, int]] = []
        for index in (0, 10, 5):
            assert viewer.ask('seek', seconds=index / scene.fps) == ''
            assert viewer.ask('step', frames=2) == ''
            sent = len(expected) + 4
            viewer.until(lambda sent=sent: len(viewer.sent_since(paused)) == sent)
            round_start = viewer.sent_since(paused)[1][1]
            for stamp in (scene.stamp(index), scene.stamp(index + 1)):
                stamp += round_start
                expected += [('clock', max(1, stamp)), ('image', stamp)]  # a time of 0 is none
            viewer.until(lambda stamp=stamp: clock.now().nanoseconds == stamp)
        assert viewer.sent_since(paused) == expected


@pytest.mark.parametrize(('parameters', 'message'), [
    ({'stamps': 'now'}, "clock: expected stamps 'media', got 'now'"),
    ({'use_sim_time': True}, 'clock: expected use_sim_time false, got true')])
def test_a_clock_that_would_make_no_sense_is_refused(
    domain_id: int, tmp_path: Path, scene: Scene, parameters: dict[str, object], message: str,
) -> None:
    with replay(scene.video, tmp_path / 'log', clock=True, **parameters) as process:
        assert process._process is not None
        assert process._process.wait(TIMEOUT) == 1
        with pytest.raises(ProcessDied, match=message):
            process.check()


def test_compressed_images_are_jpeg_beside_the_topic_of_the_raw_ones(
    tmp_path: Path, scene: Scene, context: Context,
) -> None:
    viewer = Viewer(context, CompressedImage, f'{CAMERA}/compressed')
    with replay(scene.video, tmp_path / 'log', image_transport='compressed', frames=2):
        viewer.until(lambda: len(viewer.images) == 2)
    viewer.node.destroy_node()
    for image, frame in zip(viewer.images, scene.frames):
        assert image.format == 'bgr8; jpeg compressed bgr8'
        assert 0 < np.abs(compressed_to_bgr(image).astype(int) - frame).mean() < 20
