# SPDX-License-Identifier: Apache-2.0
import io
from pathlib import Path
from typing import Any
import zipfile

import h5py
import numpy as np
from peak import at_most
import pytest

from shadowtutor_ros.teacher import label_arrays
from shadowtutor_ros.teacher.label_arrays import open_hdf5, open_npz
from shadowtutor_ros.teacher.protocol import TeacherError

MAPS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def bomb(path: Path, shape: tuple[int, ...], nbytes: int) -> Path:
    """Write an .npz whose header says ``shape`` before so many zeros."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {'descr': '|u1', 'fortran_order': False, 'shape': shape})
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('labels.npy', head.getvalue() + bytes(nbytes))
    return path


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_maps_of_an_archive(tmp_path: Path, save: Any) -> None:
    save(tmp_path / 'a.npz', labels=MAPS, others=np.zeros(3))
    count, read = open_npz(tmp_path / 'a.npz')
    np.testing.assert_array_equal([read(index) for index in range(count)], MAPS)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    for shape, size, message in (
            ((3000, 1024, 1024), 1 << 20, '1073741824 bytes of label maps, got 3145728000'),
            ((1, 1 << 20, 1 << 20), 10, r'at most 67108864 pixels, got 1048576x1048576'),
            ((1 << 40, 1, 1), 10, 'bytes of label maps, got 1099511627776'),
            ((100, 1024, 1024), 10, 'not a readable .npz'),
            ((-1, 4, 4), 99, 'not a readable .npz'),
            ((4, 0, 4), 0, r'got uint8 \(4, 0, 4\)')):
        path = bomb(tmp_path / 'a.npz', shape, size)
        with at_most(150), pytest.raises(TeacherError, match=message):
            open_npz(path)


def test_a_file_larger_than_that_is_read_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(label_arrays, 'MAX_UNPACKED', 10)
    np.savez(tmp_path / 'a.npz', labels=MAPS)
    assert open_npz(tmp_path / 'a.npz')[0] == 2
    path = bomb(tmp_path / 'b.npz', (100, 30, 30), 90_000)
    with pytest.raises(TeacherError, match='is read map by map'):
        open_npz(path)


@pytest.fixture
def hdf5(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / 'a.h5', 'w') as file:
        file.create_dataset('labels', data=MAPS, compression='gzip')
        file.create_group('group')
    return tmp_path / 'a.h5'


def test_maps_of_hdf5(hdf5: Path) -> None:
    count, read = open_hdf5(hdf5)
    np.testing.assert_array_equal([read(index) for index in range(count)], MAPS)


def external(file: Any, other: Path) -> None:
    file.create_dataset('labels', (1, 1, 8), np.uint8, external=[(str(other), 0, 8)])


def virtual(file: Any, other: Path) -> None:
    layout = h5py.VirtualLayout((2, 3, 4), np.uint8)
    layout[:] = h5py.VirtualSource(str(other), 'labels', (2, 3, 4))
    file.create_virtual_dataset('labels', layout)


def linked(file: Any, other: Path) -> None:
    file['labels'] = h5py.ExternalLink(str(other), 'labels')


def soft(file: Any, other: Path) -> None:
    file['labels'] = h5py.SoftLink('/labels')


@pytest.mark.parametrize('make', [external, virtual, linked, soft])
def test_no_other_file_is_read(tmp_path: Path, hdf5: Path, make: Any) -> None:
    with h5py.File(tmp_path / 'b.h5', 'w') as file:
        make(file, hdf5)
    with pytest.raises(TeacherError, match=r'b\.h5: expected labels in this file, got'):
        open_hdf5(tmp_path / 'b.h5')


def test_hdf5_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    for shape, chunks, message in (
            ((3, 60_000, 60_000), (1, 1000, 1000), 'pixels, got 60000x60000'),
            ((1000, 1000, 1000), (1000, 1000, 1000), 'chunks of at most 268435456 bytes')):
        path = tmp_path / f'{shape[0]}.h5'
        with h5py.File(path, 'w') as file:
            file.create_dataset('labels', shape, np.uint8, chunks=chunks, compression='gzip')
        with at_most(16), pytest.raises(TeacherError, match=message):
            open_hdf5(path)


@pytest.mark.parametrize(('name', 'found'), [('group', 'got a group'), (None, 'got none')])
def test_what_is_no_array_is_named(hdf5: Path, name: str | None, found: str) -> None:
    with h5py.File(hdf5, 'a') as file:
        del file['labels']
        if name is not None:
            file.move(name, 'labels')
    with pytest.raises(TeacherError, match=found):
        open_hdf5(hdf5)


def test_damaged_data_are_named(hdf5: Path) -> None:
    with h5py.File(hdf5) as file:
        chunk = file['labels'].id.get_chunk_info(0)
    data = bytearray(hdf5.read_bytes())
    data[chunk.byte_offset:chunk.byte_offset + chunk.size] = bytes(chunk.size)
    hdf5.write_bytes(data)
    _, read = open_hdf5(hdf5)
    with pytest.raises(TeacherError, match=r'a\.h5: label map 0: not readable HDF5 data'):
        read(0)
