# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import shutil

from bag.recording import image, record
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.evaluation.clip import Clip, resample
from shadowtutor_ros.video import VideoError


def test_a_clip_is_read_again_and_again(scene: Scene) -> None:
    clip = Clip(scene.video, 5)
    assert (clip.name, clip.expected, clip.fps) == ('video', 5, scene.fps)
    for _ in range(2):
        np.testing.assert_array_equal(np.stack(list(clip)), np.stack(scene.frames[:5]))
    assert clip.stamp(3) == scene.stamp(3)
    assert Clip(scene.video).expected == len(scene.frames)


@pytest.mark.parametrize(('limit', 'every', 'frames'), [
    (None, 7, [0, 7, 14, 21, 28, 35]), (14, 7, [0, 7]), (15, 7, [0, 7, 14]), (3, 1, [0, 1, 2])])
def test_a_clip_of_each_nth_frame(
    scene: Scene, limit: int | None, every: int, frames: list[int],
) -> None:
    clip = Clip(scene.video, limit, every)
    np.testing.assert_array_equal(
        np.stack(list(clip)), np.stack([scene.frames[i] for i in frames]))
    assert clip.expected == len(frames)
    assert [clip.stamp(i) for i in range(len(frames))] == [scene.stamp(i) for i in frames]
    assert (clip.digest() == Clip(scene.video).digest()) == (every == 1)


def test_the_content_identifies_a_clip(scene: Scene, tmp_path: Path) -> None:
    copy = tmp_path / 'copy'
    shutil.copytree(scene.video, copy)
    assert Clip(copy).digest() == Clip(scene.video).digest()
    shutil.copy(scene.video / '0001.png', copy / '0000.png')
    assert Clip(copy).digest() != Clip(scene.video).digest()


def test_a_topic_of_a_rosbag_is_a_clip_of_its_own(scene: Scene, tmp_path: Path) -> None:
    bag = record(tmp_path / 'bag', [
        (name, image(frame, 'bgr8', index * 40_000_000))
        for name, frames in (('/front', scene.frames[:3]), ('/rear', scene.frames[3:6]))
        for index, frame in enumerate(frames)])
    front, rear = (Clip(bag, topic=name) for name in ('/front', '/rear'))
    np.testing.assert_array_equal(np.stack(list(rear)), np.stack(scene.frames[3:6]))
    assert front.digest() != rear.digest()
    with pytest.raises(VideoError, match=r'/front .*/rear .*; topic chooses one'):
        Clip(bag)


def test_an_unreadable_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'broken.mp4'
    path.write_bytes(b'no video')
    with pytest.raises(VideoError, match=r'broken\.mp4: not a readable video'):
        Clip(path)


@pytest.mark.parametrize(('count', 'fps', 'wanted', 'expected'), [
    (10, 28, 7, [0, 4, 8]), (8, 10, 7, [0, 1, 3, 4, 6, 7]), (3, 7, 7, [0, 1, 2]),
    (3, 5, 7, [0, 1, 2]), (0, 28, 7, [])])
def test_resampling_keeps_the_frames_nearest_in_time(
    count: int, fps: float, wanted: float, expected: list[int],
) -> None:
    assert resample(count, fps, wanted) == expected
