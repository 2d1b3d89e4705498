# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import cv2
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.evaluation.clip import Clip
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.pretrain.footage import Footage, FootageError, hold_out, label_footage
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import Labelling, TeacherError


class Dark:
    """A teacher that computes: what is dark is a person."""

    name = 'dark'
    version = '1'

    def __init__(self, background: int) -> None:
        self.background = background
        self.calls = 0

    def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
        self.calls += 1
        dark = np.where(frame.mean(2) < 85, 0, self.background).astype(np.uint8)
        return Labelling(dark, np.array([[1, 2, 3, 4]], np.float32), np.ones(1, np.float32))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path / 'cache'))


def test_a_clip_is_labelled_once_and_kept(scene: Scene, classes: ClassSet) -> None:
    teacher = Dark(classes.background)
    for _ in range(2):
        footage = label_footage(Clip(scene.video, 20, every=5), teacher, classes)
        assert (footage.name, len(footage.samples), teacher.calls) == ('video', 4, 4)
    frame, labelling = footage.samples[2].read()
    assert np.abs(frame.mean(2) - scene.frames[10].mean(2)).mean() < 4  # a JPEG of it
    expected = Dark(classes.background).label(scene.frames[10])
    assert np.array_equal(labelling.class_ids, expected.class_ids)
    assert labelling.boxes.tolist() == [[1, 2, 3, 4]]


def test_pictures_of_a_folder_may_differ_in_size(tmp_path: Path, classes: ClassSet) -> None:
    (tmp_path / 'photos').mkdir()
    sizes = [(40, 60), (64, 32)]
    for name, size in zip('ab', sizes):
        cv2.imwrite(str(tmp_path / 'photos' / f'{name}.png'), np.full((*size, 3), 9, np.uint8))
    footage = label_footage(Clip(tmp_path / 'photos'), Dark(classes.background), classes)
    assert [sample.read()[0].shape[:2] for sample in footage.samples] == sizes
    assert [sample.read()[1].class_ids.shape for sample in footage.samples] == sizes


def test_given_labels_are_those_of_the_frames_that_are_taken(
    scene: Scene, classes: ClassSet,
) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    footage = label_footage(Clip(scene.video, every=10), teacher, classes)
    for number, sample in enumerate(footage.samples):
        assert np.array_equal(sample.read()[1].class_ids, scene.labels[10 * number])
    with pytest.raises(TeacherError, match='none for the frame'):
        label_footage(Clip(scene.video, every=10), LabelsTeacher(
            scene.label_maps, classes, 2 * scene.fps), classes)


def clips(names: str) -> list[Footage]:
    return [Footage(name, ()) for name in names]


@pytest.mark.parametrize(('names', 'trained'), [((), 'abde'), (('a', 'e'), 'bcdf')])
def test_clips_are_held_out_whole(names: tuple[str, ...], trained: str) -> None:
    train, held_out = hold_out(clips('abcdef') if names else clips('abdef'), names)
    assert ''.join(each.name for each in train) == trained
    assert ''.join(each.name for each in held_out) == (''.join(names) or 'f')


def test_every_fifth_from_the_last_back_is_held_out() -> None:
    assert [each.name for each in hold_out(clips('abcdef'), ())[1]] == ['a', 'f']


@pytest.mark.parametrize(('known', 'names', 'words'), [
    ('ab', ('c',), r"expected names among \['a', 'b'\], got \['c'\]"),
    ('ab', ('a', 'b'), 'clips to train on and others'),
    ('a', (), 'clips to train on and others'),
    ('', (), 'clips to train on and others'),
    ('aab', (), r"twice: \['a'\]"),
])
def test_what_cannot_be_split(known: str, names: tuple[str, ...], words: str) -> None:
    with pytest.raises(FootageError, match=words):
        hold_out(clips(known), names)
