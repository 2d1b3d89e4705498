# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
from scene import Scene

from shadowtutor_ros.bag.reader import BagSource
from shadowtutor_ros.bag.writer import write_bag
from shadowtutor_ros.sources import open_source
from shadowtutor_ros.video import Capture, ImageFolder, VideoError
from shadowtutor_ros.video_writer import VideoWriter


def test_every_kind_is_opened_by_its_class(tmp_path: Path, scene: Scene) -> None:
    write_bag(tmp_path / 'bag', scene.frames[:1], scene.fps)
    with VideoWriter(tmp_path / 'video.mp4', scene.fps) as writer:
        writer.write(scene.frames[0])
    kinds = {source: type(open_source(str(source))) for source in (
        tmp_path / 'bag', tmp_path / 'bag' / 'bag.mcap', tmp_path / 'video.mp4', scene.video)}
    assert list(kinds.values()) == [BagSource, BagSource, Capture, ImageFolder]


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
        open_source(str(path))
    assert str(path) in str(error.value)
