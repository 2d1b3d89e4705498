# SPDX-License-Identifier: Apache-2.0
"""Videos are as large and as fast as their frames; those that are not whole are refused."""

from pathlib import Path
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.video import Capture, VideoError
from shadowtutor_ros.video_writer import VideoWriter
from shadowtutor_ros.whole_file import whole


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


@pytest.mark.parametrize('fps', [
    1 / 300, 1 / 60, 1 / 7, 0.5, 6.5, 1000 / 33, 23.976, 29.97, 30000 / 1001, 33.3666, 59.94,
    119.88, 119.8765, 240.0])
def test_a_video_has_its_rate(tmp_path: Path, fps: float) -> None:
    with VideoWriter(tmp_path / 'a.mp4', fps) as writer:
        for index in range(10):
            writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    video = cv2.VideoCapture(str(tmp_path / 'a.mp4'))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(fps, rel=2e-4)
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 10
    for index in range(10):
        assert video.grab()
        assert video.get(cv2.CAP_PROP_POS_MSEC) == pytest.approx(1000 * index / fps, rel=1e-3)


@pytest.mark.parametrize('size', [(1, 1), (1, 64), (49, 65), (48, 65), (49, 64)])
def test_of_an_odd_size_nothing_is_cut_off(tmp_path: Path, size: tuple[int, int]) -> None:
    frame = np.zeros((*size, 3), np.uint8)
    frame[-1, -1] = 255
    frame[-8:, -8:] = 255
    with VideoWriter(tmp_path / 'a.mp4', 25.0) as writer:
        writer.write(frame)
    (read,) = Capture(str(tmp_path / 'a.mp4'))
    assert read.shape == (size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    assert np.abs(read[:size[0], :size[1]].astype(int) - frame).mean() < 10
    assert (read[-1, -1] > 200).all()


def write(path: Path, *heights: int) -> None:
    """Write a frame of each height; what is no height is an error of the caller."""
    with whole(path) as part, VideoWriter(part, 25.0) as writer:
        for height in heights:
            writer.write(np.zeros((height, 6, 3), np.uint8))


def test_frames_of_two_sizes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r'one size, \(4, 6\), got \(2, 6\)'):
        write(tmp_path / 'a.mp4', 4, 2)
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / 'a.mp4'
    path.write_text('precious')
    with pytest.raises(ValueError, match='negative dimensions'):
        write(path, 4, -1)
    assert [each.read_text() for each in tmp_path.iterdir()] == ['precious']


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (pytest.raises(VideoError, match=r'a\.mp4: cannot be written'),
          VideoWriter(tmp_path / 'none' / 'a.mp4', 25.0) as writer):
        writer.write(np.zeros((4, 6, 3), np.uint8))


def test_a_video_that_did_not_fit_on_the_disk_is_an_error_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    """A limit on the size of files stands for the disk: what is beyond it is not written."""
    code = (
        'import resource, signal, sys, numpy as np\n'
        'from pathlib import Path\n'
        'from shadowtutor_ros.errors import ShadowTutorError\n'
        'from shadowtutor_ros.video_writer import VideoWriter\n'
        'from shadowtutor_ros.whole_file import whole\n'
        'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (96 << 10, 96 << 10))\n'
        'noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)\n'
        'try:\n'
        '    with whole(Path(sys.argv[1])) as part, VideoWriter(part, 25.0) as writer:\n'
        '        for _ in range(60):\n'
        '            writer.write(noise)\n'
        'except ShadowTutorError as error:\n'
        '    print(error)\n')
    run = subprocess.run([sys.executable, '-c', code, str(tmp_path / 'a.mp4')],
                         capture_output=True, text=True, check=True)
    assert 'a.mp4: cannot be written' in run.stdout
    assert 'is the disk full?' in run.stdout
    assert not list(tmp_path.iterdir())
