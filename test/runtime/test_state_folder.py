# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable, Iterator
import logging
import os
from pathlib import Path
import threading

import numpy as np
import pytest

from shadowtutor_ros.runtime import state_folder
from shadowtutor_ros.runtime.state_folder import StateFolder, UnusableStateFolder
from shadowtutor_ros.snapshot import Snapshot


def snapshot(number: int, size: int = 1) -> Snapshot:
    return {'number': np.full(size, number)}


def number_of(kept: Snapshot | None) -> int | None:
    return None if kept is None else int(kept['number'][0])


def open_folder(path: Path, files: int = 8, nbytes: int = 1 << 20) -> StateFolder:
    return StateFolder(path, files, nbytes)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that writes nothing until this is set."""
    go = threading.Event()
    write = state_folder.replace_file

    def when_it_may(path: Path, data: bytes) -> None:
        if data:
            assert go.wait(30)
        write(path, data)

    monkeypatch.setattr(state_folder, 'replace_file', when_it_may)
    yield go
    go.set()


def test_the_newest_snapshot_is_there_after_a_restart(tmp_path: Path) -> None:
    folder = open_folder(tmp_path / 'new' / 'folder')
    assert folder.get('a') is None
    for number in range(3):
        folder.put('a', snapshot(number))
    folder.put('b/../\n', snapshot(7))
    folder.close()
    again = open_folder(tmp_path / 'new' / 'folder')
    assert (number_of(again.get('a')), number_of(again.get('b/../\n'))) == (2, 7)
    assert {path.parent for path in tmp_path.rglob('*.state')} == {tmp_path / 'new' / 'folder'}


def test_the_newest_counts_before_it_is_written(tmp_path: Path, slow: threading.Event) -> None:
    folder = open_folder(tmp_path)
    for number in range(3):
        folder.put('a', snapshot(number))
        assert number_of(folder.get('a')) == number
    slow.set()
    folder.close()
    assert number_of(open_folder(tmp_path).get('a')) == 2


def test_a_slow_disk_holds_nobody_up(tmp_path: Path, slow: threading.Event) -> None:
    folder = open_folder(tmp_path, files=100)
    for number in range(50):
        folder.put(str(number), snapshot(number))
    slow.set()
    folder.close()
    assert 32 <= len(list(tmp_path.glob('*.state'))) <= 33  # those that may wait, and the first


@pytest.mark.parametrize(('files', 'nbytes', 'left'), [(2, 1 << 20, 2), (8, 2500, 2)])
def test_the_oldest_go_when_there_are_too_many_or_they_are_too_large(
    tmp_path: Path, files: int, nbytes: int, left: int,
) -> None:
    for number in range(4):
        folder = open_folder(tmp_path, files, nbytes)
        folder.put(str(number), snapshot(number, size=125))
        folder.close()
        for path in tmp_path.glob('*.state'):
            os.utime(path, (times := path.stat().st_mtime - 10, times))
    again = open_folder(tmp_path, files, nbytes)
    assert [number_of(again.get(str(number))) for number in range(4)] == [None, None, 2, 3]
    assert len(list(tmp_path.glob('*.state'))) == left


@pytest.mark.parametrize('damage', [
    lambda data: data[:-1], lambda data: b'', lambda data: data[:-1] + bytes([data[-1] ^ 4]),
    lambda data: bytes(1 << 21)], ids=['truncated', 'empty', 'flipped', 'large'])
def test_a_damaged_file_is_named_and_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes],
) -> None:
    folder = open_folder(tmp_path)
    folder.put('a', snapshot(1))
    folder.close()
    path, = tmp_path.glob('*.state')
    path.write_bytes(damage(path.read_bytes()))
    again = open_folder(tmp_path)
    assert again.get('a') is None
    record, = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f'{path} is damaged, begins anew')
    assert path.with_suffix('.damaged').exists()
    again.put('a', snapshot(2))
    again.close()
    assert number_of(open_folder(tmp_path).get('a')) == 2
    assert len(caplog.records) == 1


def test_what_cannot_be_written_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = open_folder(tmp_path)

    def no_space(path: Path, data: bytes) -> None:
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(state_folder, 'replace_file', no_space)
        for number in range(3):
            folder.put(str(number), snapshot(number))
        folder._thread.submit(lambda: None).result(30)
    record, = caplog.records
    assert record.getMessage() == (
        f'{tmp_path}: nothing is kept there at the moment: '
        'OSError: [Errno 28] No space left on device')
    folder.put('a', snapshot(4))
    folder.close()
    assert number_of(open_folder(tmp_path).get('a')) == 4


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(UnusableStateFolder, match='file: nothing can be kept there'):
        open_folder(tmp_path / 'file')
    with pytest.raises(UnusableStateFolder, match='folder: nothing can be kept there'):
        open_folder(tmp_path / 'file' / 'folder')


def test_a_folder_is_one_processs_until_it_is_closed(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    with pytest.raises(UnusableStateFolder, match='another process keeps its own state there'):
        open_folder(tmp_path)
    folder.close()
    open_folder(tmp_path).close()
    folder.put('a', snapshot(1))  # a lesson that ended late
    assert not list(tmp_path.glob('*.state'))


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / 'x.part').write_bytes(b'half')
    open_folder(tmp_path)
    assert not list(tmp_path.glob('*.part'))


def test_a_file_under_anothers_name_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    folder = open_folder(tmp_path)
    folder.put('a', snapshot(1))
    folder.close()
    again = open_folder(tmp_path)
    path, = tmp_path.glob('*.state')
    path.rename(again._file_of('b'))
    assert again.get('b') is None
    assert "expected the state of 'b', got that of 'a'" in caplog.text


def test_what_is_there_is_found_and_what_is_removed_is_not(tmp_path: Path) -> None:
    folder = open_folder(tmp_path)
    for number, key in enumerate(('x a', 'x b', 'y a', 'x c')):
        folder.put(key, snapshot(number))
    folder.remove('x b')
    folder.close()
    for age, path in enumerate(folder._file_of(key) for key in ('x a', 'x c')):
        os.utime(path, (age, age))
    again = open_folder(tmp_path)
    assert [(key, number_of(kept)) for key, kept in again.snapshots('x ')] == [
        ('x a', 0), ('x c', 3)]
    again.remove('x a')
    again.close()
    again.remove('x c')  # too late
    assert sorted(key for key, _ in open_folder(tmp_path).snapshots('')) == ['x c', 'y a']
