# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterable, Iterator, Sequence
import math
import os
from pathlib import Path
import re
import subprocess
import sys

import cv2
import numpy as np
from PIL import Image
import pytest
from scene import Scene

from shadowtutor_ros.frame import Frame
from shadowtutor_ros.sources import open_source
from shadowtutor_ros.video import (
    Capture,
    Damage,
    DEFAULT_FPS,
    FrameReader,
    ImageFolder,
    rate_of,
    VideoError,
)
from shadowtutor_ros.video_writer import VideoWriter


def test_an_image_folder_in_order(scene: Scene) -> None:
    source = ImageFolder(str(scene.video))
    assert source.count == len(scene.frames)
    for read, frame in zip(source, scene.frames):
        np.testing.assert_array_equal(read, frame)


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
    damage = Damage('numbers')

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


def images(folder: Path, names: Sequence[str]) -> Path:
    """Write 2x2 images whose pixels are their place in ``names``."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        data = cv2.imencode('.png', np.full((2, 2, 3), index, np.uint8))[1].tobytes()
        (folder / name).write_bytes(data)
    return folder


def values(frames: Iterable[Frame]) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in frames]


@pytest.mark.parametrize(('broken', 'expected'), [
    ((1,), [0, 0, 2, 3]), ((0,), [1, 1, 2, 3]), ((3,), [0, 1, 2, 2]), ((0, 1), [2, 2, 2, 3]),
    ((1, 2), [0, 0, 0, 3]), ((0, 2), [1, 1, 1, 3])])
def test_in_place_of_a_damaged_image_stands_the_one_before(
    tmp_path: Path, broken: tuple[int, ...], expected: list[int],
) -> None:
    images(tmp_path, [f'{index}.png' for index in range(4)])
    for index in broken:
        (tmp_path / f'{index}.png').write_bytes(b'nothing')
    source = ImageFolder(str(tmp_path))
    assert not str(source.damage)
    assert values(source) == expected
    assert source.damage.frames == set(broken)
    assert f'{len(broken)} damaged frame' in str(source.damage)
    assert f'{broken[0]}.png: not a readable image' in str(source.damage)
    reader = FrameReader(source)
    for index in range(4):
        frame = reader.read(index)
        assert frame is not None
        assert frame[0, 0, 0] == expected[index]


def test_an_image_without_a_readable_one_before_and_after_is_named(tmp_path: Path) -> None:
    images(tmp_path, ['0.png', '1.png'])
    (tmp_path / '1.png').write_bytes(b'')
    with pytest.raises(VideoError, match=r'1\.png: not a readable image'):
        list(ImageFolder(str(tmp_path)).frames(1))
    (tmp_path / '0.png').unlink()
    with pytest.raises(VideoError, match=r'1\.png: not a readable image'):
        list(ImageFolder(str(tmp_path)))


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'bmp', 'tif'])
def test_an_image_file_that_is_cut_is_damaged(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    for index in range(3):
        cv2.imwrite(str(tmp_path / f'{index}.{suffix}'), noise)
    path = tmp_path / f'1.{suffix}'
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    source = ImageFolder(str(tmp_path))
    assert len(list(source)) == 3
    assert source.damage.frames == {1}


@pytest.mark.parametrize('orientation', [3, 6, 8])
@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_images_stay_as_they_are_stored(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((24, 32, 3), np.uint8)
    pixels[:12] = 200
    Image.fromarray(pixels).save(tmp_path / f'a.{suffix}', exif=exif)
    (frame,) = ImageFolder(str(tmp_path))
    assert frame.shape == (24, 32, 3)
    assert np.abs(frame.astype(int) - pixels).max() < 6


@pytest.mark.parametrize('names', [
    [f'frame_{index}.png' for index in range(12)],
    [f'{index:04}.png' for index in range(12)],
    [f'{999_900_000_000 + index * 40_000_000}.png' for index in range(6)],
    ['cam1_9.png', 'cam1_10.png', 'cam2_1.png', 'cam10_0.png'],
    ['a.png', 'a2.png', 'a010.png', 'b.png'], ['1.png', '01.png', '2.png'][::-1][1:],
])
def test_numbers_in_names_count_as_numbers(tmp_path: Path, names: list[str]) -> None:
    images(tmp_path, names)
    assert values(ImageFolder(str(tmp_path))) == list(range(len(names)))


def test_hidden_files_and_folders_are_no_images(tmp_path: Path) -> None:
    images(tmp_path, ['0.png', '1.PNG'])
    for name in ('._0.png', '.hidden.jpg'):
        (tmp_path / name).write_bytes(b'\0\5\x16\7')
    (tmp_path / 'thumbs.png').mkdir()
    source = ImageFolder(str(tmp_path))
    assert (source.count, values(source)) == (2, [0, 1])
    assert not str(source.damage)


NAMES = ['2024-05-01T12:30:00', 'a:b', '100%d', 'with space', 'ümlaut 视频', "it's", '#1?',
         'file:x']


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('relative', [True, False])
def test_any_name_plays(
    tmp_path: Path, name: str, relative: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path() if relative else tmp_path
    images(folder / name, ['0.png', '1.png'])
    assert values(open_source(str(folder / name))) == [0, 1]
    path = folder / f'{name}.mp4'
    with VideoWriter(path, 25.0) as writer:
        for _ in range(3):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    assert len(list(open_source(str(path)))) == 3


def test_a_name_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    """In a process of its own, which OpenCV would end."""
    folder = os.fsencode(tmp_path)
    with VideoWriter(tmp_path / 'a.mp4', 25.0) as writer:
        writer.write(np.zeros((16, 16, 3), np.uint8))
    Path(os.fsdecode(folder + b'/latin\xe9.mp4')).write_bytes((tmp_path / 'a.mp4').read_bytes())
    images(Path(os.fsdecode(folder + b'/f\xe9')), ['0.png', os.fsdecode(b'1\xe9.png')])
    code = (
        'import os, sys, numpy as np\n'
        'from pathlib import Path\n'
        'from shadowtutor_ros.errors import ShadowTutorError\n'
        'from shadowtutor_ros.sources import open_source\n'
        'from shadowtutor_ros.video_writer import VideoWriter\n'
        f'folder = {folder!r}\n'
        'print(len(list(open_source(os.fsdecode(folder + b"/f\\xe9")))))\n'
        'try:\n'
        '    open_source(os.fsdecode(folder + b"/latin\\xe9.mp4"))\n'
        'except ShadowTutorError as error:\n'
        '    print(error)\n'
        'try:\n'
        '    with VideoWriter(Path(os.fsdecode(folder + b"/new\\xe9.mp4")), 25.0) as writer:\n'
        '        writer.write(np.zeros((16, 16, 3), np.uint8))\n'
        'except ShadowTutorError as error:\n'
        '    print(error)\n')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    count, read, written = run.stdout.splitlines()
    assert count == '2'
    assert read.endswith(r'latin\xe9.mp4: expected a file name in UTF-8: rename it')
    assert written.endswith(r'new\xe9.mp4: expected a file name in UTF-8: rename it')


def motion_jpeg(path: Path, count: int = 30) -> list[int]:
    """Write a video of which each frame is a JPEG; return where these begin in the file."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'MJPG'), 30.0, (64, 48))
    for index in range(count):
        writer.write(np.full((48, 64, 3), 8 * index, np.uint8))
    writer.release()
    data = path.read_bytes()
    return [match.start() for match in re.finditer(b'\xff\xd8\xff', data)]


def damage(path: Path, places: Sequence[int]) -> None:
    data = bytearray(path.read_bytes())
    for at in places:
        data[at:at + 200] = bytes(200)
    path.write_bytes(data)


@pytest.mark.parametrize(('broken', 'held'), [
    ((12,), {12: 11}), ((3, 4, 20), {3: 2, 4: 2, 20: 19}), ((0,), {0: 1}), ((28,), {28: 27})])
def test_a_video_goes_on_behind_a_damaged_frame(
    tmp_path: Path, broken: tuple[int, ...], held: dict[int, int],
) -> None:
    path = tmp_path / 'a.avi'
    starts = motion_jpeg(path)
    damage(path, [starts[index] for index in broken])
    source = Capture(str(path))
    frames = list(source)
    assert [round(frame.mean() / 8) for frame in frames] == [
        held.get(index, index) for index in range(30)]
    assert source.damage.frames == set(broken)
    assert str(source.damage).startswith(
        f'{path}: {len(broken)} damaged frame{"s" * (len(broken) > 1)}, the first is {broken[0]}')
    np.testing.assert_array_equal(next(Capture(str(path)).frames(15)), frames[15])


def test_a_video_that_ends_early_says_so(tmp_path: Path) -> None:
    path = tmp_path / 'a.avi'
    starts = motion_jpeg(path)
    path.write_bytes(path.read_bytes()[:starts[13]])
    source = Capture(str(path))
    count = len(list(source))
    assert count in (12, 13)
    assert str(source.damage) == f'{path}: ends after {count} of 30 frames'


@pytest.mark.parametrize('name', ['a.mp4', 'a.avi'])
def test_a_whole_video_has_no_damage(tmp_path: Path, name: str) -> None:
    if name == 'a.avi':
        motion_jpeg(tmp_path / name)
    else:
        with VideoWriter(tmp_path / name, 25.0) as writer:
            for _ in range(30):
                writer.write(np.zeros((16, 16, 3), np.uint8))
    source = Capture(str(tmp_path / name))
    assert len(list(source)) == 30
    assert not str(source.damage)


class _Clock:
    """A capture that says ``rate`` and whose frames come every ``step`` milliseconds."""

    def __init__(self, rate: float, step: float) -> None:
        self._rate, self._step, self._index = rate, step, -1

    def get(self, what: int) -> float:
        return self._rate if what == cv2.CAP_PROP_FPS else self._index * self._step

    def grab(self) -> bool:
        self._index += 1
        return self._index < 40


@pytest.mark.parametrize(('said', 'step', 'expected'), [
    (1000.0, 33.0, 30.303), (90000.0, 40.0, 25.0), (0.0, 100.0, 10.0), (math.nan, 50.0, 20.0),
    (30.0, 1.0, 30.0), (240.0, 100.0, 240.0), (1000.0, 1.0, 1000.0), (1000.0, 0.0, DEFAULT_FPS)])
def test_a_rate_that_no_camera_has_gives_way_to_the_times_of_the_frames(
    said: float, step: float, expected: float,
) -> None:
    rate = rate_of(_Clock(said, step), is_file=True)  # type: ignore[arg-type]
    assert rate == pytest.approx(expected, rel=1e-5)


def test_a_camera_is_not_read_for_its_rate() -> None:
    capture = _Clock(0.0, 33.0)
    assert rate_of(capture, is_file=False) == DEFAULT_FPS  # type: ignore[arg-type]
    assert capture.get(cv2.CAP_PROP_POS_MSEC) < 0
