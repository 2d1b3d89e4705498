# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from pathlib import Path

import cv2
from full_disk import full_disk
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.assets import cache_folder
from shadowtutor_ros.classes import ClassSet, UNLABELLED
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.evaluation.labels import label_clip
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling, TeacherError
from shadowtutor_ros.video import VideoError
from shadowtutor_ros.whole_file import CannotWrite

pytestmark = pytest.mark.usefixtures('cache')


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path / 'cache'))


class Counting:
    """A teacher that computes: it knows the scene's labels by their stamps."""

    name = 'counting'
    version = '1'

    def __init__(self, scene: Scene, classes: ClassSet, die_at: int = -1) -> None:
        self.teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
        self.calls = 0
        self.die_at = die_at

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        if self.calls == self.die_at:
            raise KeyboardInterrupt
        self.calls += 1
        labelling = self.teacher.label(frame, stamp)
        return Labelling(labelling.class_ids, labelling.boxes[:1] + 0.25,
                         np.array([0.75], np.float32), np.array([2], np.uint8))


class Noise:
    """A teacher whose label maps take some kilobytes."""

    name = 'noise'
    version = '1'
    label_map = np.random.default_rng(0).integers(0, 9, (96, 128), np.uint8)

    def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
        return Labelling(self.label_map)


def test_a_video_is_labelled_once(scene: Scene, classes: ClassSet) -> None:
    teacher = Counting(scene, classes)
    for frames, calls in ((5, 5), (5, 5), (7, 7), (3, 7)):
        labelled = label_clip(Clip(scene.video, frames), teacher, classes)
        assert (labelled.count, labelled.size) == (frames, (96, 128))
        assert teacher.calls == calls
        for index in range(frames):
            labelling = labelled.label(index)
            np.testing.assert_array_equal(labelling.class_ids, scene.labels[index])
            assert (labelling.boxes % 1 == 0.25).all()
            assert labelling.scores.tolist() == [0.75]
            assert labelling.box_ids is not None
            assert labelling.box_ids.tolist() == [2]
    assert labelled.teacher_seconds > 0
    teacher.version = '2'
    label_clip(Clip(scene.video, 2), teacher, classes)
    assert teacher.calls == 9


def test_a_killed_teacher_goes_on_where_it_was(scene: Scene, classes: ClassSet) -> None:
    teacher = Counting(scene, classes, die_at=4)
    with pytest.raises(KeyboardInterrupt):
        label_clip(Clip(scene.video, 6), teacher, classes)
    teacher.die_at = -1
    label_clip(Clip(scene.video, 6), teacher, classes)
    assert teacher.calls == 6


@pytest.mark.parametrize('torn', ['picture', 'objects'])
def test_what_a_kill_left_half_written_is_made_again(
    torn: str, scene: Scene, classes: ClassSet,
) -> None:
    teacher = Counting(scene, classes)
    label_clip(Clip(scene.video, 3), teacher, classes)
    (folder,) = (cache_folder() / 'labels').iterdir()
    if torn == 'picture':
        (folder / '000002.png').unlink()
    else:
        objects = folder / 'objects.jsonl'
        objects.write_bytes(objects.read_bytes()[:-9])
    labelled = label_clip(Clip(scene.video, 3), teacher, classes)
    assert teacher.calls == 4
    assert labelled.label(2).scores.tolist() == [0.75]
    label_clip(Clip(scene.video, 3), teacher, classes)
    assert teacher.calls == 4


@pytest.mark.parametrize('damage', [
    lambda data: data[:60], lambda data: data[:len(data) * 3 // 4], lambda data: b'',
    lambda data: cv2.imencode('.png', np.zeros((10, 10), np.uint8))[1].tobytes(),
    lambda data: cv2.imencode('.png', np.full((96, 128), 9, np.uint8))[1].tobytes(),
], ids=['head', 'cut', 'empty', 'size', 'ids'])
def test_a_damaged_label_is_made_again_with_a_word(
    damage: Callable[[bytes], bytes], scene: Scene, classes: ClassSet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    teacher = Counting(scene, classes)
    label_clip(Clip(scene.video, 3), teacher, classes)
    path, = cache_folder().rglob('000001.png')
    path.write_bytes(damage(path.read_bytes()))
    for _ in range(2):
        labelled = label_clip(Clip(scene.video, 3), teacher, classes)
        np.testing.assert_array_equal(labelled.label(1).class_ids, scene.labels[1])
    assert teacher.calls == 4
    record, = caplog.records
    assert record.getMessage().startswith(f'{path} is made again: ')


def test_a_teacher_may_leave_pixels_open(
    scene: Scene, classes: ClassSet, caplog: pytest.LogCaptureFixture,
) -> None:
    class Unsure(Counting):
        def label(self, frame: np.ndarray, stamp: float = 0.0) -> Labelling:
            class_ids = super().label(frame, stamp).class_ids.copy()
            class_ids[:10] = UNLABELLED
            return Labelling(class_ids)

    teacher = Unsure(scene, classes)
    for _ in range(2):
        labelled = label_clip(Clip(scene.video, 3), teacher, classes)
    assert teacher.calls == 3
    assert not caplog.records
    assert (labelled.label(1).class_ids[:10] == UNLABELLED).all()
    assert labelled.present() == {
        int(class_id) for label in scene.labels[:3] for class_id in np.unique(label[10:])}


def test_objects_that_are_no_text_count_as_missing(
    scene: Scene, classes: ClassSet, caplog: pytest.LogCaptureFixture,
) -> None:
    teacher = Counting(scene, classes)
    label_clip(Clip(scene.video, 2), teacher, classes)
    path, = cache_folder().rglob('objects.jsonl')
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b'\xff\xfe' + first + b'\n' + second + b'\n')
    label_clip(Clip(scene.video, 2), teacher, classes)
    assert teacher.calls == 3
    record, = caplog.records
    assert record.getMessage().endswith('000000.png is made again: its objects are missing')


def test_a_cache_on_a_full_disk_is_named_and_goes_on_later(
    scene: Scene, classes: ClassSet,
) -> None:
    teacher = Noise()
    with full_disk(3000), pytest.raises(CannotWrite, match=r'000000\.png: cannot be written'):
        label_clip(Clip(scene.video, 3), teacher, classes)
    assert [path.name for path in cache_folder().rglob('*') if path.is_file()] == ['objects.jsonl']
    labelled = label_clip(Clip(scene.video, 3), teacher, classes)
    np.testing.assert_array_equal(labelled.label(2).class_ids, teacher.label_map)


@pytest.mark.parametrize('place', ['/proc/cache', '{file}/cache'])
def test_a_cache_that_cannot_be_made_is_named(
    place: str, scene: Scene, classes: ClassSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / 'file').write_text('')
    place = place.format(file=tmp_path / 'file')
    monkeypatch.setenv('SHADOWTUTOR_CACHE', place)
    with pytest.raises(CannotWrite, match=f'{place}: cannot be written'):
        label_clip(Clip(scene.video, 3), Counting(scene, classes), classes)


def test_given_labels_are_checked_and_not_copied(scene: Scene, classes: ClassSet) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    labelled = label_clip(Clip(scene.video, 4), teacher, classes)
    assert labelled.labels is teacher
    assert np.isnan(labelled.teacher_seconds)
    assert not (cache_folder() / 'labels').exists()


def test_other_labels_make_another_clip(
    scene: Scene, classes: ClassSet, tmp_path: Path,
) -> None:
    keys = []
    for shift in (0, 1):
        cv2.imwrite(str(tmp_path / '0.png'), scene.labels[shift])
        teacher = LabelsTeacher(tmp_path, classes, scene.fps)
        keys.append(label_clip(Clip(scene.video, 1), teacher, classes).key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize(('change', 'message'), [
    (lambda label: label[:50], r"label map 3: expected the frame's size \(96, 128\), got \(50"),
    (lambda label: label + 1, 'label map 3: expected class ids 0 to 8, got 9')])
def test_a_bad_label_map_is_named(  # type: ignore[no-untyped-def]
    change, message: str, scene: Scene, classes: ClassSet, tmp_path: Path,
) -> None:
    folder = tmp_path / 'labels'
    folder.mkdir()
    for index, label in enumerate(scene.labels[:5]):
        cv2.imwrite(str(folder / f'{index}.png'), change(label) if index == 3 else label)
    with pytest.raises(TeacherError, match=message) as error:
        label_clip(Clip(scene.video, 5), LabelsTeacher(folder, classes, scene.fps), classes)
    assert str(folder) in str(error.value)


def test_too_few_label_maps_are_named(scene: Scene, classes: ClassSet, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / '0.png'), scene.labels[0])
    with pytest.raises(TeacherError, match=r'1 label maps .* none for the frame at 0\.04 s'):
        label_clip(Clip(scene.video, 2), LabelsTeacher(tmp_path, classes, scene.fps), classes)


def test_frames_of_several_sizes_are_named(
    scene: Scene, classes: ClassSet, tmp_path: Path,
) -> None:
    for index, frame in enumerate((scene.frames[0], scene.frames[1][:40])):
        cv2.imwrite(str(tmp_path / f'{index}.png'), frame)
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    with pytest.raises(VideoError, match=r'frame 1: expected .* \(96, 128\), got \(40, 128\)'):
        label_clip(Clip(tmp_path), teacher, classes)


def test_a_video_without_frames_is_named(
    scene: Scene, classes: ClassSet, tmp_path: Path,
) -> None:
    writer = cv2.VideoWriter(str(tmp_path / 'x.avi'), cv2.VideoWriter.fourcc(*'MJPG'), 25, (8, 8))
    writer.release()
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    with pytest.raises(VideoError, match=r'x\.avi'):
        label_clip(Clip(tmp_path / 'x.avi'), teacher, classes)
