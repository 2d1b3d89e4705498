# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from bag.recording import image, record
import cv2
from full_disk import full_disk
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.bag.export import export_bag, Exported
from shadowtutor_ros.bag.storage import BagError
from shadowtutor_ros.bag.writer import write_bag
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.video import Capture, ImageFolder, VideoError

FRAME = np.full((4, 6, 3), 100, np.uint8)
TICK = 40_000_000  # nanoseconds between two frames


def mask(class_id: int) -> np.ndarray:
    return np.full((4, 6), class_id, np.uint8)


def pictures(folder: Path) -> list[np.ndarray]:
    return list(ImageFolder(str(folder)))


def test_labels_are_painted_on_their_frames(
    tmp_path: Path, scene: Scene, classes: ClassSet,
) -> None:
    write_bag(tmp_path / 'bag', scene.frames, scene.fps, scene.labels)
    done = export_bag(tmp_path / 'bag', tmp_path / 'out', classes, opacity=0.25)
    assert done == Exported(40, 40, 0)
    for picture, frame, label in zip(pictures(tmp_path / 'out'), scene.frames, scene.labels):
        np.testing.assert_array_equal(picture, overlay(frame, label, classes.colours, 0.25))


def test_without_a_mask_topic_frames_stay_as_they_are(
    tmp_path: Path, scene: Scene, classes: ClassSet,
) -> None:
    write_bag(tmp_path / 'bag', scene.frames[:3], scene.fps)
    assert export_bag(tmp_path / 'bag', tmp_path / 'out', classes) == Exported(3, 0, 0)
    np.testing.assert_array_equal(pictures(tmp_path / 'out'), scene.frames[:3])


@pytest.mark.parametrize(('fps', 'written'), [(12.5, 12.5), (119.8765, 119.88)])
def test_a_video_has_the_bags_length_and_rate(
    tmp_path: Path, scene: Scene, classes: ClassSet, fps: float, written: float,
) -> None:
    write_bag(tmp_path / 'bag', scene.frames[:5], fps, scene.labels[:5])
    export_bag(tmp_path / 'bag', tmp_path / 'new' / 'out.mp4', classes)
    video = Capture(str(tmp_path / 'new' / 'out.mp4'))
    assert (video.fps, len(list(video))) == (written, 5)


def test_masks_match_by_stamp_alone_late_unordered_or_missing(
    tmp_path: Path, classes: ClassSet,
) -> None:
    bag = record(tmp_path / 'bag', [
        *[('/c', image(FRAME, 'bgr8', stamp)) for stamp in (0, 1, 2, 3, 3)],
        *[('/m', image(mask(class_id), 'mono8', stamp))
          for stamp, class_id in ((2, 2), (7, 7), (0, 0), (3, 3), (2, 6))]])
    done = export_bag(bag, tmp_path / 'out', classes, opacity=1.0)
    assert (done.frames, done.painted, done.masks_without_frame) == (5, 3, 2)
    painted = [tuple(picture[0, 0, ::-1].tolist()) for picture in pictures(tmp_path / 'out')]
    plain = (100, 100, 100)
    assert painted == [classes.colours[0], plain, classes.colours[2], classes.colours[3], plain]


def test_a_mask_topic_is_chosen_by_name_if_there_are_two(
    tmp_path: Path, classes: ClassSet,
) -> None:
    bag = record(tmp_path / 'bag', [('/c', image(FRAME, 'bgr8')), ('/a', image(mask(0), 'mono8')),
                                    ('/b', image(mask(1), 'mono8'))])
    with pytest.raises(BagError, match=r'bag: expected one mono8 topic, got .*/a .*/b'):
        export_bag(bag, tmp_path / 'out', classes)
    with pytest.raises(BagError, match='expected the mono8 topic /c, got'):
        export_bag(bag, tmp_path / 'out', classes, mask_topic='/c')
    export_bag(bag, tmp_path / 'out', classes, mask_topic='/b', opacity=1.0)
    assert cv2.imread(str(tmp_path / 'out' / '000000.png'))[0, 0, ::-1].tolist() == list(
        classes.colours[1])


@pytest.mark.parametrize('name', ['out', 'out.mp4'])
@pytest.mark.parametrize(('pixels', 'message'), [
    (mask(9), 'mask of frame 1: expected class ids 0 to 8, got 9'),
    (mask(0)[:2], r"mask of frame 1: expected uint8 of the frame's size \(4, 6\), .* \(2, 6\)"),
])
def test_a_mask_that_does_not_fit_is_named_and_leaves_nothing(
    tmp_path: Path, classes: ClassSet, name: str, pixels: np.ndarray, message: str,
) -> None:
    bag = record(tmp_path / 'bag', [
        ('/c', image(FRAME, 'bgr8', 0)), ('/c', image(FRAME, 'bgr8', TICK)),
        ('/m', image(mask(0), 'mono8', 0)), ('/m', image(pixels, 'mono8', TICK))])
    with pytest.raises(BagError, match=f'bag: /m .*: {message}'):
        export_bag(bag, tmp_path / name, classes)
    assert not (tmp_path / name).exists()


def test_a_mask_that_is_no_mask_later_is_named(tmp_path: Path, classes: ClassSet) -> None:
    bag = record(tmp_path / 'bag', [
        ('/c', image(FRAME, 'bgr8', 0)), ('/c', image(FRAME, 'bgr8', TICK)),
        ('/m', image(mask(0), 'mono8', 0)), ('/m', image(FRAME, 'bgr8', TICK))])
    with pytest.raises(BagError, match=r"frame 1: label map: expected .* mono8, got 'bgr8'"):
        export_bag(bag, tmp_path / 'out', classes, topic='/c', mask_topic='/m')


def test_a_video_of_two_sizes_is_refused(tmp_path: Path, classes: ClassSet) -> None:
    bag = record(tmp_path / 'bag', [
        ('/c', image(FRAME, 'bgr8', 0)), ('/c', image(FRAME[:2], 'bgr8', TICK))])
    with pytest.raises(VideoError, match=r'one size, \(4, 6\), got \(2, 6\)'):
        export_bag(bag, tmp_path / 'out.mp4', classes)
    assert export_bag(bag, tmp_path / 'out', classes).frames == 2


def test_an_output_that_exists_is_kept(tmp_path: Path, classes: ClassSet) -> None:
    bag = record(tmp_path / 'bag', [('/c', image(FRAME, 'bgr8'))])
    (tmp_path / 'out.mp4').write_text('precious')
    with pytest.raises(BagError, match=r'out\.mp4: expected a new file or folder, it exists'):
        export_bag(bag, tmp_path / 'out.mp4', classes)
    assert (tmp_path / 'out.mp4').read_text() == 'precious'


# The least is below an MPEG-4 file's head, the next below its frames, the last below its index.
@pytest.mark.parametrize('room', [0, 30, 5_000, -1])
@pytest.mark.parametrize('name', ['out', 'out.mp4'])
def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, scene: Scene, classes: ClassSet, name: str, room: int,
) -> None:
    write_bag(tmp_path / 'bag', scene.frames, scene.fps, scene.labels)
    if room < 0:
        export_bag(tmp_path / 'bag', tmp_path / name, classes)
        files = [tmp_path / name, *(tmp_path / name).rglob('*')]
        room += max(file.stat().st_size for file in files if file.is_file())
        name = f'again-{name}'
    before = set(tmp_path.iterdir())
    with full_disk(room), pytest.raises(VideoError, match=f'{name}: .* be written'):
        export_bag(tmp_path / 'bag', tmp_path / name, classes)
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize('place', ['file/out', 'file/out.mp4', '/proc/out', '/proc/out.mp4'])
def test_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, scene: Scene, classes: ClassSet, place: str,
) -> None:
    write_bag(tmp_path / 'bag', scene.frames[:2], scene.fps)
    (tmp_path / 'file').write_text('precious')
    with pytest.raises(BagError, match=f'{place}: cannot be written'):
        export_bag(tmp_path / 'bag', tmp_path / place, classes)
    assert (tmp_path / 'file').read_text() == 'precious'


@pytest.mark.parametrize('name', ['out', 'out.mp4'])
@pytest.mark.parametrize('place', [0, 2, 4])
def test_a_damaged_image_is_left_out_and_said(
    tmp_path: Path, classes: ClassSet, name: str, place: int,
) -> None:
    messages = [('/c', image(FRAME if index != place else FRAME[:0], 'bgr8', index * TICK))
                for index in range(5)]
    masks = [('/m', image(mask(1), 'mono8', index * TICK)) for index in range(5)]
    done = export_bag(record(tmp_path / 'bag', [*messages, *masks]), tmp_path / name, classes,
                      topic='/c')
    assert (done.frames, done.painted, done.masks_without_frame) == (4, 4, 1)
    assert f'1 damaged frame, the first is {place}: ' in done.damage
    source = pictures(tmp_path / name) if name == 'out' else list(Capture(str(tmp_path / name)))
    assert len(source) == 4
