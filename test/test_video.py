# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.video import Capture, FrameReader, ImageFolder, VideoError, VideoWriter


def test_an_image_folder_in_order(scene: Scene) -> None:
    source = ImageFolder(str(scene.video))
    assert source.count == len(scene.frames)
    for read, frame in zip(source, scene.frames):
        np.testing.assert_array_equal(read, frame)


def test_a_video_comes_back(tmp_path: Path, scene: Scene) -> None:
    path = tmp_path / 'out.mp4'
    with VideoWriter(path, 12.5) as writer:
        for frame in scene.frames[:5]:
            writer.write(frame)
    source = Capture(str(path))
    assert (source.fps, source.count) == (12.5, 5)
    frames = list(source)
    assert len(frames) == 5
    assert np.abs(frames[0].astype(int) - scene.frames[0]).mean() < 20


def test_an_image_folder_from_the_middle(scene: Scene) -> None:
    frames = list(ImageFolder(str(scene.video)).frames(37))
    np.testing.assert_array_equal(np.stack(frames), np.stack(scene.frames[37:]))


# MPEG program streams have no index: in this one OpenCV jumps wrongly for 88 to 100.
@pytest.mark.parametrize(('name', 'codec'), [
    ('out.mp4', 'mp4v'), ('out.avi', 'MJPG'), ('out.mkv', 'mp4v'), ('out.mpg', 'MPG2')])
def test_a_video_from_the_middle_is_as_from_the_start(
    tmp_path: Path, name: str, codec: str,
) -> None:
    writer = cv2.VideoWriter(
        str(tmp_path / name), cv2.VideoWriter.fourcc(*codec), 25.0, (128, 96))
    for index in range(120):
        frame = np.zeros((96, 128, 3), np.uint8)
        cv2.putText(frame, str(index), (2, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255))
        writer.write(frame)
    writer.release()
    source = Capture(str(tmp_path / name))
    frames = list(source)
    assert len(frames) == 120
    for start in (1, 13, 60, 88, 94, 100, 118, 119):
        rest = list(source.frames(start))
        np.testing.assert_array_equal(np.stack(rest), np.stack(frames[start:]), str(start))
    assert list(source.frames(120)) == []
    assert list(source.frames(500)) == []


class _Numbers:
    """Five frames; says where it was asked to begin."""

    source, fps = 'numbers', 25.0
    count: int | None = 5

    def __init__(self) -> None:
        self.starts: list[int] = []

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, start: int = 0) -> Iterator[Frame]:
        self.starts.append(start)
        return (np.full((1, 1, 3), value, np.uint8) for value in range(start, 5))


def test_a_reader_seeks_only_where_it_must() -> None:
    numbers = _Numbers()
    reader = FrameReader(numbers)
    indices = (0, 1, 1, 2, 4, 5, 5, 0, 1, 0)
    read = [reader.read(index) for index in indices]
    assert [None if frame is None else int(frame[0, 0, 0]) for frame in read] == [
        None if index == 5 else index for index in indices]
    assert numbers.starts == [0, 4, 0, 0]


def test_a_reader_goes_on_behind_a_damaged_image(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f'{index}.png'), np.full((2, 2, 3), index, np.uint8))
    (tmp_path / '1.png').write_bytes(b'nothing')
    reader = FrameReader(ImageFolder(str(tmp_path)))
    reader.read(0)
    with pytest.raises(VideoError, match=r'1\.png'):
        reader.read(1)
    frame = reader.read(2)
    assert frame is not None
    assert frame[0, 0, 0] == 2


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    (tmp_path / '0.png').write_bytes(b'nothing')
    with pytest.raises(VideoError, match=r'0\.png: not a readable image'):
        list(ImageFolder(str(tmp_path)))
