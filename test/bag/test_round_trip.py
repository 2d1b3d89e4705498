# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from full_disk import full_disk
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from scene import Scene
import yaml

from shadowtutor_ros.bag.images import label_map_of
from shadowtutor_ros.bag.reader import BagSource
from shadowtutor_ros.bag.storage import Bag, BagError
from shadowtutor_ros.bag.writer import IMAGE_TOPIC, INFO_TOPIC, LABELS_TOPIC, write_bag
from shadowtutor_ros.sources import open_source


@pytest.fixture
def bag(tmp_path: Path, scene: Scene) -> Path:
    assert write_bag(tmp_path / 'bag', scene.frames, scene.fps, scene.labels) == 40
    return tmp_path / 'bag'


def only(bag: Path, name: str) -> list[tuple[int, object]]:
    content = Bag(bag)
    return list(content.messages(next(t for t in content.topics if t.name == name)))


@pytest.mark.parametrize('path', ['bag', 'bag/bag.mcap'])
def test_raw_frames_come_back_pixel_for_pixel_in_order(
    bag: Path, scene: Scene, path: str,
) -> None:
    source = open_source(str(bag.parent / path))
    assert isinstance(source, BagSource)
    assert (source.topic, source.fps, source.count) == (IMAGE_TOPIC, scene.fps, 40)
    assert source.stamps == [scene.stamp(index) for index in range(40)]
    for _ in range(2):  # a source may be read again
        np.testing.assert_array_equal(np.stack(list(source)), np.stack(scene.frames))


def test_labels_and_header_come_back(bag: Path, scene: Scene) -> None:
    labels = only(bag, LABELS_TOPIC)
    assert [stamp for stamp, _ in labels] == [scene.stamp(index) for index in range(40)]
    for (_, message), label in zip(labels, scene.labels):
        np.testing.assert_array_equal(label_map_of(message), label)
        assert message.header.frame_id == 'camera'  # type: ignore[attr-defined]


def test_the_camera_info_has_the_frames_size(bag: Path) -> None:
    infos = only(bag, INFO_TOPIC)
    assert len(infos) == 40
    info = infos[0][1]
    assert (info.height, info.width) == (96, 128)  # type: ignore[attr-defined]
    assert info.k.tolist() == [  # type: ignore[attr-defined]
        128, 0, 64, 0, 128, 48, 0, 0, 1]


def test_humble_and_jazzy_can_read_and_offer_it_reliably(bag: Path, scene: Scene) -> None:
    metadata = yaml.safe_load((bag / 'metadata.yaml').read_text())['rosbag2_bagfile_information']
    assert (metadata['version'], metadata['storage_identifier']) == (8, 'mcap')
    profiles = metadata['topics_with_message_count'][0]['topic_metadata']['offered_qos_profiles']
    assert isinstance(profiles, str)  # Humble cannot read a list, as version 9 has
    with Reader(bag) as reader:
        assert reader.start_time == 0
        assert reader.end_time == scene.stamp(39) + 1
        for connection in reader.connections:
            (qos,) = connection.ext.offered_qos_profiles
            assert qos.reliability is QosReliability.RELIABLE
            assert qos.durability is QosDurability.VOLATILE
    with AnyReader([bag]) as reader:  # by the message definitions that the bag carries
        bag_stamps = [stamp for _, stamp, _ in reader.messages()]
    assert bag_stamps == sorted(3 * [scene.stamp(index) for index in range(40)])


@pytest.mark.parametrize('fps', [5.0, 24.0, 30.0, 29.97, 120.0])
def test_fps_survives_stamps_of_whole_nanoseconds(
    tmp_path: Path, scene: Scene, fps: float,
) -> None:
    write_bag(tmp_path / 'bag', scene.frames[:9], fps, start=1_700_000_000_123_456_789)
    source = BagSource(str(tmp_path / 'bag'))
    assert source.fps == fps
    assert source.stamps[0] == 1_700_000_000_123_456_789
    assert source.stamps[8] - source.stamps[0] == round(8e9 / fps)


def test_one_frame_has_the_default_fps(tmp_path: Path, scene: Scene) -> None:
    write_bag(tmp_path / 'bag', scene.frames[:1], 5.0)
    assert BagSource(str(tmp_path / 'bag')).fps == 25.0


def test_compressed_frames_are_close(tmp_path: Path, scene: Scene) -> None:
    write_bag(tmp_path / 'bag', scene.frames[:3], scene.fps, compressed=True)
    source = BagSource(str(tmp_path / 'bag'))
    assert source.topic == '/camera/image_raw/compressed'
    (_, message), *_ = only(tmp_path / 'bag', source.topic)
    assert message.format == 'bgr8; jpeg compressed bgr8'  # type: ignore[attr-defined]
    for read, frame in zip(source, scene.frames):
        assert 0 < np.abs(read.astype(int) - frame).mean() < 20


@pytest.mark.parametrize(('labels', 'message'), [
    ([np.zeros((96, 128), np.uint8)], 'label map 1: expected one for every frame, got 1'),
    (2 * [np.zeros((5, 5), np.uint8)],
     r"map 0: expected uint8 of the frame's size \(96, 128\), got uint8 \(5, 5\)"),
    (2 * [np.zeros((96, 128), np.int64)], r'label map 0: expected uint8 .* got int64'),
    (2 * [np.full((96, 128), 9, np.uint8)], 'map 0: expected class ids 0 to 8, got 9'),
])
def test_labels_that_do_not_fit_are_named_and_leave_nothing(
    tmp_path: Path, scene: Scene, labels: list[np.ndarray], message: str,
) -> None:
    with pytest.raises(BagError, match=message) as error:
        write_bag(tmp_path / 'bag', scene.frames[:2], 25.0, labels, class_count=9)
    assert str(tmp_path / 'bag') in str(error.value)
    assert not (tmp_path / 'bag').exists()


def test_an_output_is_new_and_not_empty(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(BagError, match='bag: expected frames to write, got none'):
        write_bag(tmp_path / 'bag', [], 25.0)
    (tmp_path / 'bag').write_text('precious')
    with pytest.raises(BagError, match='bag: expected a new file or folder, it exists'):
        write_bag(tmp_path / 'bag', scene.frames, 25.0)
    assert (tmp_path / 'bag').read_text() == 'precious'
    with pytest.raises(BagError, match='cannot be written'):
        write_bag(tmp_path / 'bag' / 'below', scene.frames, 25.0)


@pytest.mark.parametrize('room', [200, 50_000])
def test_a_bag_on_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, scene: Scene, room: int,
) -> None:
    with full_disk(room), pytest.raises(BagError, match='bag: cannot be written: File too large'):
        write_bag(tmp_path / 'bag', scene.frames, 25.0)
    assert not list(tmp_path.iterdir())
