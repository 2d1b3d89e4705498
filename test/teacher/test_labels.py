# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
import struct

import cv2
import h5py
import numpy as np
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import TeacherError

PNG = cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes()


@pytest.fixture(params=['folder', 'npz', 'h5'])
def label_maps(request: pytest.FixtureRequest, scene: Scene, tmp_path: Path) -> Path:
    labels = np.stack(scene.labels)
    if request.param == 'npz':
        np.savez(tmp_path / 'labels.npz', labels=labels)
        return tmp_path / 'labels.npz'
    if request.param == 'h5':
        with h5py.File(tmp_path / 'labels.h5', 'w') as file:
            file['labels'] = labels
        return tmp_path / 'labels.h5'
    return scene.label_maps


def test_maps_are_found_by_their_stamp(
    label_maps: Path, scene: Scene, classes: ClassSet,
) -> None:
    teacher = create_teacher('labels', classes, weights=str(label_maps), fps=scene.fps)
    for index in (0, 7, len(scene.labels) - 1):
        labelling = teacher.label(scene.frames[index], scene.stamp(index) * 1e-9)
        np.testing.assert_array_equal(labelling.class_ids, scene.labels[index])
    assert labelling.boxes.shape == (len(labelling.scores), 4)


def test_every_object_has_its_box(scene: Scene, classes: ClassSet) -> None:
    teacher = LabelsTeacher(scene.label_maps, classes, scene.fps)
    boxes = teacher.label(scene.frames[0]).boxes
    assert sorted(boxes.tolist()) == [[10, 20, 24, 60], [90, 60, 128, 80]]


def test_what_does_not_fit_is_named(label_maps: Path, scene: Scene, classes: ClassSet) -> None:
    teacher = LabelsTeacher(label_maps, classes, scene.fps)
    with pytest.raises(TeacherError, match=r'40 label maps at 25 per second, none .* at 100 s'):
        teacher.label(scene.frames[0], 100.0)
    with pytest.raises(TeacherError, match=r"frame's size \(5, 5\), got \(96, 128\)"):
        teacher.label(np.zeros((5, 5, 3), np.uint8))


def test_an_unknown_class_is_named(tmp_path: Path, classes: ClassSet) -> None:
    cv2.imwrite(str(tmp_path / '0.png'), np.full((4, 4), 9, np.uint8))
    with pytest.raises(TeacherError, match='label map 0: expected class ids 0 to 8, got 9'):
        LabelsTeacher(tmp_path, classes, 25.0).label(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'expected png, got 0 bytes'),
    (cv2.imencode('.jpg', np.zeros((4, 4), np.uint8))[1].tobytes(), 'expected png, got'),
    (PNG[:-9], 'is truncated'),
    (cv2.imencode('.png', np.zeros((4, 4, 3), np.uint8))[1].tobytes(), r'got uint8 \(4, 4, 3\)'),
    (PNG[:16] + struct.pack('>II', 8192, 8193) + PNG[24:],
     'expected at most 67108864 pixels, got 8193x8192'),
], ids=lambda value: value[:9] if isinstance(value, str) else 'png')
def test_a_bad_png_is_named(
    tmp_path: Path, classes: ClassSet, content: bytes, message: str,
) -> None:
    (tmp_path / '0.png').write_bytes(content)
    with pytest.raises(TeacherError, match=rf'0\.png: .*{message}'):
        LabelsTeacher(tmp_path, classes, 25.0).read(0)


@pytest.mark.parametrize(('name', 'make', 'message'), [
    ('none', lambda p: None, 'not there'),
    ('empty', lambda p: p.mkdir(), 'the folder has none'),
    ('labels.txt', lambda p: p.write_text('x'), "expected a folder, .npz or .h5, got '.txt'"),
    ('labels.npz', lambda p: p.write_text('x'), 'not a readable .npz'),
    ('labels.h5', lambda p: p.write_text('x'), 'not a readable HDF5'),
    ('other.npz', lambda p: np.savez(p, frames=np.zeros(3)), 'expected an array labels'),
    ('float.npz', lambda p: np.savez(p, labels=np.zeros((1, 2, 2))), r'got float64 \(1, 2, 2\)'),
])
def test_unreadable_labels_are_named(  # type: ignore[no-untyped-def]
    tmp_path: Path, classes: ClassSet, name: str, make, message: str,
) -> None:
    make(tmp_path / name)
    with pytest.raises(TeacherError, match=message) as error:
        LabelsTeacher(tmp_path / name, classes, 25.0)
    assert name in str(error.value)
