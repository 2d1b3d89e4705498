# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path
import sys
from typing import Any

from bag.recording import compressed, image, record, text
import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from shadowtutor_ros.bag.reader import BagSource
from shadowtutor_ros.bag.storage import BagError
from shadowtutor_ros.bag.writer import write_bag
from shadowtutor_ros.sources import open_source
from shadowtutor_ros.video import VideoError

BGR = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
GREY = BGR[..., 0]


@pytest.mark.parametrize(('encoding', 'pixels', 'expected'), [
    ('bgr8', BGR, BGR),
    ('rgb8', BGR[..., ::-1], BGR),
    ('bgra8', cv2.cvtColor(BGR, cv2.COLOR_BGR2BGRA), BGR),
    ('rgba8', cv2.cvtColor(BGR, cv2.COLOR_BGR2RGBA), BGR),
    ('mono8', GREY, np.repeat(GREY[..., None], 3, 2)),
    ('yuv422', BGR[..., :2], cv2.cvtColor(BGR[..., :2], cv2.COLOR_YUV2BGR_UYVY)),
    ('uyvy', BGR[..., :2], cv2.cvtColor(BGR[..., :2], cv2.COLOR_YUV2BGR_UYVY)),
    ('yuv422_yuy2', BGR[..., :2], cv2.cvtColor(BGR[..., :2], cv2.COLOR_YUV2BGR_YUY2)),
    ('yuyv', BGR[..., :2], cv2.cvtColor(BGR[..., :2], cv2.COLOR_YUV2BGR_YUY2)),
])
@pytest.mark.parametrize('padding', [0, 5])
def test_every_encoding_with_and_without_row_padding(
    tmp_path: Path, encoding: str, pixels: np.ndarray, expected: np.ndarray, padding: int,
) -> None:
    bag = record(tmp_path / 'bag', [('/c', image(pixels, encoding, padding=padding))])
    (frame,) = BagSource(str(bag), '/c')
    np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize('storage', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
def test_the_order_is_the_recorders_and_the_file_alone_is_enough(
    tmp_path: Path, storage: StoragePlugin,
) -> None:
    stamps = [40_000_000, 0, 80_000_000, 120_000_000]
    record(tmp_path / 'bag', [
        ('/c', image(np.full((2, 2, 3), value, np.uint8), 'bgr8', stamp))
        for value, stamp in enumerate(stamps)], storage)
    (file,) = (tmp_path / 'bag').glob('bag.*')
    for path in (tmp_path / 'bag', file):
        source = open_source(str(path))
        assert isinstance(source, BagSource)
        assert [int(frame[0, 0, 0]) for frame in source] == [0, 1, 2, 3]
        assert [int(frame[0, 0, 0]) for frame in source.frames(2)] == [2, 3]
        assert list(source.frames(4)) == []
        assert source.stamps == stamps
        assert source.fps == 25.0  # the median, which the swapped pair does not move


def test_png_is_exact(tmp_path: Path) -> None:
    data = cv2.imencode('.png', BGR)[1].tobytes()
    bag = record(tmp_path / 'bag', [('/c', compressed('bgr8; png compressed bgr8', data))])
    np.testing.assert_array_equal(next(iter(BagSource(str(bag)))), BGR)


def test_the_camera_is_the_only_image_topic_that_is_no_label_map(tmp_path: Path) -> None:
    camera = ('/front', image(BGR, 'bgr8'))
    others = [('/student/mask', image(GREY, 'mono8')), ('/chatter', text('hello'))]
    bag = record(tmp_path / 'one', [*others, camera])
    assert BagSource(str(bag)).topic == '/front'

    bag = record(tmp_path / 'two', [*others, camera, ('/rear', image(BGR, 'rgb8'))])
    assert BagSource(str(bag), '/rear').topic == '/rear'
    with pytest.raises(BagError, match='two: expected one camera topic, not mono8') as error:
        BagSource(str(bag))
    for topic in ('/front (sensor_msgs/msg/Image, bgr8, 1 messages)',
                  '/rear (sensor_msgs/msg/Image, rgb8, 1 messages)', '/student/mask',
                  'topic chooses one'):
        assert topic in str(error.value)
    for name in ('/chatter', '/nowhere'):
        with pytest.raises(BagError, match=f'expected the image topic {name}, got .*/front'):
            BagSource(str(bag), name)

    bag = record(tmp_path / 'none', others)
    with pytest.raises(BagError, match=r'not mono8 or depth, got .*mono8'):
        BagSource(str(bag))


def test_an_empty_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r'empty: expected one camera topic.* got no image topics'):
        BagSource(str(record(tmp_path / 'empty', [])))


@pytest.mark.parametrize(('message', 'expected'), [
    (image(BGR, '32FC1'), "encoding: expected one of bgr8, .* got '32FC1'"),
    (image(BGR[:, :0], 'bgr8'), 'image of 4x0: expected 1 to 67108864 pixels'),
    (image(BGR[:, :5, :2], 'yuv422'), 'expected an even width, got 5'),
    (image(BGR[..., :1], 'rgb8'), 'rows of 18 bytes or more and 72 bytes, got rows of 6 and 24'),
    (compressed('h264', b''), "got 0 bytes that begin with nothing, format 'h264'"),
    (compressed('jpeg', b'GIF89a'), 'expected webp, jpeg, png, got 6 bytes .* with 47494638'),
])
def test_an_unreadable_image_is_named(tmp_path: Path, message: Any, expected: str) -> None:
    bag = record(tmp_path / 'bag', [('/c', message)])
    with pytest.raises(BagError, match=f'bag: /c, message 0: .*{expected}'):
        list(BagSource(str(bag), '/c'))


def depth(bits: str) -> Any:
    size = {'16UC1': 2, '32FC1': 4}[bits]
    return image(np.zeros((4, 6, size), np.uint8), bits)


JPEG = cv2.imencode('.jpg', BGR)[1].tobytes()


@pytest.mark.parametrize('others', [
    [('/depth', depth('16UC1'))], [('/depth', depth('32FC1'))],
    [('/front/compressed', compressed('jpeg', JPEG))],
    [('/depth/compressedDepth', compressed('16UC1; compressedDepth', b''))],
    [('/mask', image(GREY, 'mono8')), ('/depth', depth('16UC1'))],
], ids=lambda others: others[0][0])
def test_depth_masks_and_the_same_camera_compressed_are_no_other_camera(
    tmp_path: Path, others: list[tuple[str, Any]],
) -> None:
    bag = record(tmp_path / 'bag', [*others, ('/front', image(BGR, 'bgr8'))])
    assert BagSource(str(bag)).topic == '/front'
    assert open_source(str(bag), '/front').source == str(bag)
    for name, _ in others:
        with pytest.raises(BagError, match=r'expected the image topic /none, got .*/front'):
            open_source(str(bag), '/none')
        if name == '/front/compressed':
            assert open_source(str(bag), name).count == 1


def test_a_topic_is_a_rosbags(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / '0.png'), BGR)
    with pytest.raises(VideoError, match='expected a rosbag, which has the topic /front'):
        open_source(str(tmp_path), '/front')


TENTH = 10**8


@pytest.mark.parametrize(('stamps', 'fps'), [
    ([TENTH * k for k in range(10)], None), ([0] * 10, 20.0), ([7 * 10**9] * 10, 20.0),
    ([10**10 - TENTH * k for k in range(10)], 20.0), ([k // 2 * TENTH for k in range(10)], 20.0),
    ([100 * k for k in range(10)], 20.0), ([k * TENTH - 5 * 10**9 for k in range(10)], None),
    ([k * TENTH - (k > 4) * 4 * TENTH for k in range(10)], None),
    ([10**9 + k for k in range(10)], 20.0),
], ids=['good', 'zero', 'constant', 'backwards', 'twice', 'microseconds', 'negative',
        'one jump', 'nanoseconds'])
def test_stamps_that_are_no_times_give_way_to_the_recorders(
    tmp_path: Path, stamps: list[int], fps: float | None,
) -> None:
    bag = record(tmp_path / 'bag', [('/c', image(BGR, 'bgr8', stamp)) for stamp in stamps],
                 period=TENTH // 2)
    source = BagSource(str(bag))
    assert source.fps == pytest.approx(fps or 10.0)
    assert source.stamps == stamps
    said = (f'{bag}: the header stamps of /c are no times, takes 20 frames per second, as recorded'
            if fps else '')
    assert str(source.damage) == said


@pytest.mark.parametrize('period', [0, 1000])
def test_without_any_times_it_is_the_default_rate_and_said(tmp_path: Path, period: int) -> None:
    bag = record(tmp_path / 'bag', [('/c', image(BGR, 'bgr8'))] * 3, period=period)
    source = BagSource(str(bag))
    assert source.fps == 25.0
    assert str(source.damage).endswith('takes 25 fps')


def test_a_timelapse_keeps_its_rate(tmp_path: Path) -> None:
    bag = record(tmp_path / 'bag', [
        ('/c', image(BGR, 'bgr8', index * 300 * 10**9)) for index in range(4)])
    assert BagSource(str(bag)).fps == pytest.approx(1 / 300, rel=1e-6)


@pytest.mark.parametrize('storage', [StoragePlugin.SQLITE3, StoragePlugin.MCAP])
@pytest.mark.parametrize('metadata', ['', 'not: a bag', None])
@pytest.mark.parametrize('upper', [False, True])
def test_a_folder_without_its_metadata_is_read_as_its_files(
    tmp_path: Path, storage: StoragePlugin, metadata: str | None, upper: bool,
) -> None:
    def bag(name: str, first: int) -> Path:
        return record(tmp_path / name, [
            ('/c', image(np.full((2, 2, 3), first + k, np.uint8), 'bgr8', (first + k) * TENTH))
            for k in range(3)], storage)

    folder, more = bag('bag', 0), bag('more', 3)
    (file,), (other,) = folder.glob('bag.*'), more.glob('more.*')
    suffix = file.suffix.upper() if upper else file.suffix
    file.rename(folder / f'run_2{suffix}')
    other.rename(folder / f'run_10{suffix}')
    (folder / 'metadata.yaml').unlink()
    if metadata is not None:
        (folder / 'metadata.yaml').write_text(metadata)
    source = open_source(str(folder))
    assert isinstance(source, BagSource)
    assert [int(frame[0, 0, 0]) for frame in source] == list(range(6))
    assert (source.count, source.fps) == (6, 10.0)
    (only,) = open_source(str(folder / f'run_2{suffix}')).frames(2)
    assert only[0, 0, 0] == 2


@pytest.fixture
def crashed(tmp_path: Path) -> Callable[[float, str], Path]:
    """A folder of one file without metadata: a part of a recording with a chunk for each frame."""
    frames = [np.random.default_rng(k).integers(0, 256, (720, 720, 3), np.uint8)
              for k in range(4)]
    for frame, value in zip(frames, range(4)):
        frame[0, 0] = value
    write_bag(tmp_path / 'bag', frames, 25.0)
    whole = (tmp_path / 'bag' / 'bag.mcap').read_bytes()

    def make(part: float, name: str) -> Path:
        folder = tmp_path / 'crash'
        folder.mkdir()
        (folder / name).write_bytes(whole[:int(part * len(whole))])
        return folder

    return make


@pytest.mark.parametrize('name', ['bag.mcap', 'RUN.MCAP'])
@pytest.mark.parametrize(('part', 'frames'), [(0.3, 1), (0.6, 2), (0.9999, 4)])
def test_of_a_recording_that_was_cut_off_what_is_whole_is_read(
    crashed: Callable[[float, str], Path], name: str, part: float, frames: int,
) -> None:
    folder = crashed(part, name)
    for path in (folder, folder / name):
        source = open_source(str(path))
        assert [int(frame[0, 0, 0]) for frame in source] == list(range(frames))
        assert str(source.damage).startswith(
            f'{folder / name}: its recording was cut off, reads what is whole; mcap recover')


@pytest.mark.parametrize('name', ['bag.mcap', 'RUN.MCAP'])
@pytest.mark.parametrize('part', [0.0001, 0.001, 0.2])
def test_where_nothing_is_whole_it_says_what_helps(
    crashed: Callable[[float, str], Path], name: str, part: float,
) -> None:
    folder = crashed(part, name)
    for path in (folder, folder / name):
        with pytest.raises(BagError, match=r'was cut off: mcap recover .* -o recovered\.mcap'):
            open_source(str(path))


def test_half_of_the_metadata_says_what_helps(tmp_path: Path) -> None:
    (tmp_path / 'metadata.yaml').write_text('half')
    with pytest.raises(BagError, match=f'was cut off: ros2 bag reindex {tmp_path}'):
        open_source(str(tmp_path))


@pytest.mark.parametrize(('place', 'held'), [(0, 1), (3, 2), (7, 6)])
@pytest.mark.parametrize('bad', [
    compressed('jpeg', cv2.imencode('.jpg', BGR)[1].tobytes()[:300] + b'\xff\xd9'),
    compressed('jpeg', b''), image(BGR[:0], ''), image(BGR, '32FC1')],
    ids=['cut', 'nothing', 'no pixels', 'depth'])
def test_a_damaged_image_is_skipped_and_counted(
    tmp_path: Path, bad: Any, place: int, held: int,
) -> None:
    topic = '/c'
    good = [image(np.full((2, 2, 3), index, np.uint8), 'bgr8', index * 40_000_000)
            for index in range(8)]
    if bad.__msgtype__ != good[0].__msgtype__:
        good = [compressed('png', cv2.imencode('.png', np.full((2, 2, 3), index, np.uint8))
                           [1].tobytes()) for index in range(8)]
    good[place] = bad
    source = BagSource(str(record(tmp_path / 'bag', [(topic, each) for each in good])), topic)
    expected = [held if index == place else index for index in range(8)]
    assert [int(frame[0, 0, 0]) for frame in source] == expected
    assert source.damage.frames == {place}
    assert f'1 damaged frame, the first is {place}: ' in str(source.damage)
    assert f'/c, message {place}: ' in str(source.damage)
    assert [int(frame[0, 0, 0]) for frame in source.frames(1)] == expected[1:]


@pytest.mark.parametrize(('name', 'content'), [
    ('none.mcap', None), ('empty.mcap', b''), ('text.mcap', b'not a bag'),
    ('none.db3', None), ('text.db3', b'not a bag'), ('metadata.yaml', b'not: a bag'),
    ('metadata.yaml', b'\xff'),
])
def test_what_is_no_bag_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    path = tmp_path if name == 'metadata.yaml' else path
    with pytest.raises(VideoError, match=r'expected a rosbag2 folder, \.mcap or \.db3') as error:
        open_source(str(path))
    assert str(path) in str(error.value)


def test_a_bag_whose_file_is_missing_is_named(tmp_path: Path) -> None:
    bag = record(tmp_path / 'bag', [('/c', image(BGR, 'bgr8'))])
    (bag / 'bag.db3').unlink()
    with pytest.raises(BagError, match=r'bag: expected .* missing'):
        BagSource(str(bag))


def test_a_damaged_mcap_is_an_error_of_its_own_wherever_it_is_damaged(tmp_path: Path) -> None:
    frames = [np.full((2, 2, 3), value, np.uint8) for value in range(3)]
    write_bag(tmp_path / 'bag', frames, 25.0)
    path = tmp_path / 'bag' / 'bag.mcap'
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = {'read': 0, 'refused': 0}
    for cut in rng.integers(0, len(good), 40):
        path.write_bytes(good[:cut])
        outcomes[_outcome(path)] += 1
    assert outcomes['refused'] > 10  # before the only chunk is whole
    assert outcomes['read'] > 10  # behind it are the messages' definitions once more
    for place in rng.integers(0, len(good), 100):
        path.write_bytes(good[:place] + bytes([good[place] ^ 0xff]) + good[place + 1:])
        outcomes[_outcome(path)] += 1
    assert outcomes['refused'] > 20


def _outcome(path: Path) -> str:
    try:
        list(BagSource(str(path)))
    except BagError:
        return 'refused'
    return 'read'


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'shadowtutor_ros.bag.reader', None)
    with pytest.raises(VideoError, match=r'a\.mcap: rosbags need pip install rosbags'):
        open_source('a.mcap')
