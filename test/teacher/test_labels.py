# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
import io
from pathlib import Path
import struct

import cv2
import h5py
import numpy as np
from PIL import Image
import pytest
from scene import Scene

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.teacher.factory import create_teacher
from shadowtutor_ros.teacher.labels import LabelsTeacher
from shadowtutor_ros.teacher.protocol import TeacherError


def png_of(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


PNG = png_of(np.zeros((4, 4), np.uint8))


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
    labelling = teacher.label(scene.frames[0])
    assert labelling.boxes.tolist() == [[10, 20, 24, 60], [90, 60, 128, 80]]
    assert labelling.box_ids is not None
    assert [classes.names[i] for i in labelling.box_ids] == ['person', 'auto']


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
    (png_of(np.zeros((4, 4, 3), np.uint8)), 'one channel or a palette, got RGB'),
    (PNG[:16] + struct.pack('>II', 8192, 8193) + PNG[24:],
     'expected at most 67108864 pixels, got 8193x8192'),
    (png_of(np.full((2, 2), 300, np.uint16)), 'class ids of 8 bits, got 300'),
    (png_of(np.zeros((2, 2, 4), np.uint8)), 'got RGB and alpha'),
], ids=lambda value: value[:9] if isinstance(value, str) else 'png')
def test_a_bad_png_is_named(
    tmp_path: Path, classes: ClassSet, content: bytes, message: str,
) -> None:
    (tmp_path / '0.png').write_bytes(content)
    with pytest.raises(TeacherError, match=rf'0\.png: .*{message}'):
        LabelsTeacher(tmp_path, classes, 25.0).read(0)


def hdf5(path: Path) -> h5py.File:
    return h5py.File(path, 'w')


def npz(path: Path) -> None:
    np.savez_compressed(path, labels=np.random.default_rng(0).integers(0, 9, (3, 48, 64), 'uint8'))


def hdf5_labels(path: Path) -> None:
    with hdf5(path) as file:
        file.create_dataset('labels', compression='gzip', data=np.random.default_rng(0).integers(
            0, 9, (3, 48, 64), 'uint8'), chunks=(1, 48, 64))


def damaged(make: Callable[[Path], None], path: Path) -> None:
    make(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2:len(data) // 2 + 60] = bytes(60)
    path.write_bytes(data)


def cut(make: Callable[[Path], None], path: Path) -> None:
    make(path)
    path.write_bytes(path.read_bytes()[:-200])


def test_a_damaged_map_in_hdf5_is_named(tmp_path: Path, classes: ClassSet) -> None:
    path = tmp_path / 'labels.h5'
    damaged(hdf5_labels, path)
    teacher = LabelsTeacher(path, classes, 25.0)
    found = []
    for index in range(3):
        try:
            teacher.read(index)
        except TeacherError as error:
            found.append(str(error))
    assert found
    assert all(each.startswith(f'{path}: label map ') for each in found)


def png(pixels: np.ndarray, mode: str | None = None, **settings: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels, mode)
    if mode == 'P':
        picture.putpalette(bytes(255 - value for value in range(256) for _ in range(3)))
    picture.save(buffer, 'PNG', **settings)
    return buffer.getvalue()


IDS = np.random.default_rng(0).integers(0, 9, (13, 17), np.uint8)
FEW = IDS % 4


@pytest.mark.parametrize(('content', 'expected'), [
    (png(IDS), IDS), (png(IDS, 'P'), IDS), (png(IDS, 'P', bits=4), IDS),
    (png(FEW, 'P', bits=2), FEW), (png(FEW % 2, 'P', bits=1), FEW % 2),
    (png(IDS, 'P', transparency=0), IDS), (png(IDS, 'P', transparency=bytes(range(9))), IDS),
    (png(IDS, transparency=3), IDS), (png(FEW % 2 == 1), FEW % 2), (png(IDS.astype('u2')), IDS),
    (png(IDS, 'P', optimize=True, dpi=(300, 300)), IDS),
], ids=['grey', 'palette', 'palette 4', 'palette 2', 'palette 1', 'transparent palette',
        'alpha palette', 'transparent grey', '1 bit', '16 bits', 'more chunks'])
def test_palette_indices_and_grey_values_are_class_ids(
    tmp_path: Path, classes: ClassSet, content: bytes, expected: np.ndarray,
) -> None:
    (tmp_path / '0.png').write_bytes(content)
    class_ids = LabelsTeacher(tmp_path, classes, 25.0).read(0).class_ids
    np.testing.assert_array_equal(class_ids, expected)
    assert class_ids.dtype == np.uint8


def test_maps_are_in_natural_order_without_hidden_files(
    tmp_path: Path, classes: ClassSet,
) -> None:
    for index in range(12):
        name = f'{index}.PNG' if index == 5 else f'{index}.png'
        (tmp_path / name).write_bytes(png(np.full((2, 2), index % 9, np.uint8)))
        (tmp_path / f'._{index}.png').write_bytes(b'\0\5\x16\7')
    teacher = LabelsTeacher(tmp_path, classes, 25.0)
    frame = np.zeros((2, 2, 3), np.uint8)
    assert [int(teacher.label(frame, index / 25).class_ids[0, 0]) for index in range(12)] == [
        index % 9 for index in range(12)]


@pytest.mark.parametrize(('name', 'make', 'message'), [
    ('none', lambda p: None, 'not there'),
    ('empty', lambda p: p.mkdir(), 'the folder has none'),
    ('labels.txt', lambda p: p.write_text('x'), "expected a folder, .npz or .h5, got '.txt'"),
    ('labels.npz', lambda p: p.write_text('x'), 'not a readable .npz'),
    ('labels.h5', lambda p: p.write_text('x'), 'not a readable HDF5'),
    ('other.npz', lambda p: np.savez(p, frames=np.zeros(3)), 'expected an array labels'),
    ('zero.npz', lambda p: p.write_bytes(b''), 'not a readable .npz'),
    ('none.npz', lambda p: np.savez(p), 'expected an array labels'),
    ('flat.npz', lambda p: np.savez(p, labels=np.zeros((4, 4), np.uint8)), r'uint8 \(4, 4\)'),
    ('no.npz', lambda p: np.savez(p, labels=np.zeros((0, 4, 4), np.uint8)), r'\(0, 4, 4\)'),
    ('flat.npz', lambda p: np.savez(p, labels=np.zeros((1, 0, 4), np.uint8)), r'\(1, 0, 4\)'),
    ('object.npz', lambda p: np.savez(p, labels=np.array([{}])), r'got object \(1,\)'),
    ('damaged.npz', lambda p: damaged(npz, p), 'not a readable .npz|got none'),
    ('group.h5', lambda p: hdf5(p).create_group('labels'), 'got a group'),
    ('none.h5', lambda p: hdf5(p).close(), 'got none'),
    ('zero.h5', lambda p: p.write_bytes(b''), 'not a readable HDF5'),
    ('text.h5', lambda p: hdf5(p).create_dataset(
        'labels', data=['a'], dtype=h5py.string_dtype()), r'got object \(1,\)'),
    ('one.h5', lambda p: hdf5(p).create_dataset('labels', data=3), r'got int64 \(\)'),
    ('empty.h5', lambda p: hdf5(p).create_dataset(
        'labels', data=h5py.Empty('uint8')), 'got uint8 None'),
    ('cut.h5', lambda p: cut(hdf5_labels, p), 'not a readable HDF5'),
    ('float.npz', lambda p: np.savez(p, labels=np.zeros((1, 2, 2))), r'got float64 \(1, 2, 2\)'),
])
def test_unreadable_labels_are_named(  # type: ignore[no-untyped-def]
    tmp_path: Path, classes: ClassSet, name: str, make, message: str,
) -> None:
    make(tmp_path / name)
    with pytest.raises(TeacherError, match=message) as error:
        LabelsTeacher(tmp_path / name, classes, 25.0)
    assert name in str(error.value)


@pytest.mark.parametrize('mode', [None, 'P'], ids=['grey', 'palette'])
def test_255_is_no_label(tmp_path: Path, classes: ClassSet, mode: str | None) -> None:
    """As the borders of Pascal VOC's objects, and no object of its own."""
    label = np.full((20, 30), 8, np.uint8)
    label[5:15, 5:25] = 255
    label[7:13, 7:23] = 2
    (tmp_path / '0.png').write_bytes(png(label, mode))
    (tmp_path / '1.png').write_bytes(png(np.full((20, 30), 255, np.uint8), mode))
    (tmp_path / '2.png').write_bytes(png(np.where(label == 2, 9, label).astype('u1'), mode))
    teacher = LabelsTeacher(tmp_path, classes, 25.0)
    labelling = teacher.read(0)
    np.testing.assert_array_equal(labelling.class_ids, label)
    assert labelling.boxes.tolist() == [[7, 7, 23, 13]]
    for index, found in ((1, 'none'), (2, '9')):
        with pytest.raises(TeacherError, match=(
                rf'label map {index}: expected class ids 0 to 8, got {found} \(255 is no label')):
            teacher.read(index)
