# SPDX-License-Identifier: Apache-2.0
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
    with pytest.raises(BagError, match='two: expected one image topic that is not mono8') as error:
        BagSource(str(bag))
    for topic in ('/front (sensor_msgs/msg/Image, bgr8, 1 messages)',
                  '/rear (sensor_msgs/msg/Image, rgb8, 1 messages)', '/student/mask', '/chatter'):
        assert topic in str(error.value)
    for name in ('/chatter', '/nowhere'):
        with pytest.raises(BagError, match=f'expected the image topic {name}, got .*/front'):
            BagSource(str(bag), name)

    bag = record(tmp_path / 'none', others)
    with pytest.raises(BagError, match=r'not mono8, got .*mono8'):
        BagSource(str(bag))


def test_an_empty_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r'empty: expected one image topic .* got no topics'):
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
        list(BagSource(str(bag)))


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
    source = BagSource(str(record(tmp_path / 'bag', [(topic, each) for each in good])))
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
    assert outcomes == {'read': 0, 'refused': 40}
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
