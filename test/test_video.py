# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.video import FrameSource, VideoError, VideoWriter


def test_an_image_folder_in_order(scene: Scene) -> None:
    source = FrameSource(str(scene.video))
    assert source.count == len(scene.frames)
    for read, frame in zip(source, scene.frames):
        np.testing.assert_array_equal(read, frame)


def test_a_video_comes_back(tmp_path: Path, scene: Scene) -> None:
    path = tmp_path / 'out.mp4'
    with VideoWriter(path, 12.5) as writer:
        for frame in scene.frames[:5]:
            writer.write(frame)
    source = FrameSource(str(path))
    assert (source.fps, source.count) == (12.5, 5)
    frames = list(source)
    assert len(frames) == 5
    assert np.abs(frames[0].astype(int) - scene.frames[0]).mean() < 20


@pytest.mark.parametrize(('make', 'message'), [
    (lambda path: None, 'no such video file, image folder or camera index'),
    (lambda path: path.mkdir(), 'no images'),
    (lambda path: path.write_text('not a video'), 'not a readable video'),
])
def test_unreadable_sources_are_named(
    tmp_path: Path, make, message: str,  # type: ignore[no-untyped-def]
) -> None:
    path = tmp_path / 'video.avi'
    make(path)
    with pytest.raises(VideoError, match=message) as error:
        FrameSource(str(path))
    assert str(path) in str(error.value)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / '0.png').write_bytes(b'nothing')
    with pytest.raises(VideoError, match=r'0\.png: not a readable image'):
        list(FrameSource(str(tmp_path)))
