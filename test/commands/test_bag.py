# SPDX-License-Identifier: Apache-2.0
import argparse
from pathlib import Path

from bag.recording import image, record
import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.bag.reader import BagSource
from shadowtutor_ros.bag.storage import Bag
from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.commands import bag
from shadowtutor_ros.errors import ShadowTutorError
from shadowtutor_ros.overlay import overlay
from shadowtutor_ros.video import ImageFolder


def run(*arguments: object) -> int:
    parser = argparse.ArgumentParser('shadowtutor bag')
    bag.add_arguments(parser)
    return bag.run(parser.parse_args([str(a) for a in arguments]))


def test_a_labelled_folder_becomes_a_bag_and_a_painted_folder(
    tmp_path: Path, scene: Scene, classes: ClassSet, capsys: pytest.CaptureFixture[str],
) -> None:
    assert run('make', scene.video, tmp_path / 'bag', '--labels', scene.label_maps,
               '--frames', 7, '--fps', 10) == 0
    assert 'bag: 7 frames at 10 per second' in capsys.readouterr().out
    source = BagSource(str(tmp_path / 'bag'))
    assert (source.fps, source.count) == (10.0, 7)

    assert run('export', tmp_path / 'bag', tmp_path / 'out') == 0
    assert ('out: 7 frames, 7 painted, 0 without a mask, 0 masks without a frame'
            in capsys.readouterr().out)
    for index, picture in enumerate(ImageFolder(str(tmp_path / 'out'))):
        np.testing.assert_array_equal(picture, overlay(
            scene.frames[index], scene.labels[index], classes.colours, 0.5))
    assert index == 6


def test_without_options_all_frames_at_the_sources_rate(tmp_path: Path, scene: Scene) -> None:
    assert run('make', scene.video, tmp_path / 'bag') == 0
    assert run('make', tmp_path / 'bag', tmp_path / 'again', '--compressed') == 0
    source = BagSource(str(tmp_path / 'again'))
    assert (source.fps, source.count) == (25.0, 40)
    assert [t.name for t in Bag(tmp_path / 'again').topics] == [
        '/camera/camera_info', '/camera/image_raw/compressed']


@pytest.mark.parametrize(('arguments', 'message'), [
    (['make', '/nowhere.avi', 'OUT'], 'no such video file'),
    (['make', 'VIDEO', 'OUT', '--labels', '/nowhere'], '/nowhere: expected a folder'),
    (['make', 'VIDEO', 'OUT', '--labels', 'LABELS', '--classes', 'lvs9'], r'lvs9\.yaml'),
    (['make', 'VIDEO', 'VIDEO'], 'it exists'),
    (['export', '/nowhere.mcap', 'OUT'], r'/nowhere\.mcap: expected a rosbag2 folder'),
    (['export', 'VIDEO', 'OUT', '--classes', 'lvs9'], r'lvs9\.yaml'),
])
def test_errors_are_the_users_and_leave_nothing(
    tmp_path: Path, scene: Scene, arguments: list[str], message: str,
) -> None:
    places = {'VIDEO': scene.video, 'LABELS': scene.label_maps, 'OUT': tmp_path / 'out'}
    with pytest.raises((ShadowTutorError, FileNotFoundError), match=message):
        run(*[places.get(a, a) for a in arguments])
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('option', [['--frames', '0'], ['--fps', '0'], ['--fps', 'nan']])
def test_options_out_of_range_are_refused(
    option: list[str], capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        run('make', 'video', 'out', *option)
    assert f'argument {option[0]}: expected' in capsys.readouterr().err


def test_what_could_not_be_read_is_said(
    tmp_path: Path, scene: Scene, capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / 'video'
    folder.mkdir()
    for index, path in enumerate(sorted(scene.video.iterdir())[:4]):
        (folder / f'{index}.png').write_bytes(b'' if index == 1 else path.read_bytes())
    assert run('make', folder, tmp_path / 'bag') == 0
    said = capsys.readouterr()
    assert 'bag: 4 frames' in said.out
    assert said.err.startswith(f'warning: {folder}: 1 damaged frame, the first is 1: ')


def test_of_two_cameras_a_topic_is_made_and_exported(tmp_path: Path, scene: Scene) -> None:
    both = record(tmp_path / 'both', [
        (name, image(frame, 'bgr8', index * 40_000_000))
        for name, frames in (('/front', scene.frames[:3]), ('/rear', scene.frames[3:6]))
        for index, frame in enumerate(frames)])
    with pytest.raises(ShadowTutorError, match=r'/front .*/rear .*; topic chooses one'):
        run('make', both, tmp_path / 'bag')
    assert run('make', both, tmp_path / 'bag', '--topic', '/rear') == 0
    np.testing.assert_array_equal(list(BagSource(str(tmp_path / 'bag'))), scene.frames[3:6])
    assert run('export', both, tmp_path / 'out', '--topic', '/front') == 0
    np.testing.assert_array_equal(list(ImageFolder(str(tmp_path / 'out'))), scene.frames[:3])


def test_labels_with_255_go_into_a_bag_and_are_not_painted(
    tmp_path: Path, scene: Scene, classes: ClassSet,
) -> None:
    labels = tmp_path / 'labels'
    labels.mkdir()
    for index in range(2):
        label = scene.labels[index].copy()
        label[:20] = 255
        cv2.imwrite(str(labels / f'{index}.png'), label)
    assert run('make', scene.video, tmp_path / 'bag', '--labels', labels, '--frames', 2) == 0
    assert run('export', tmp_path / 'bag', tmp_path / 'out') == 0
    for picture, frame in zip(ImageFolder(str(tmp_path / 'out')), scene.frames):
        np.testing.assert_array_equal(picture[:20], frame[:20])
