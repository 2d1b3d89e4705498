# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
import signal
import subprocess
import sys

from full_disk import full_disk
import pytest

from shadowtutor_ros.whole_file import CannotWrite, make_folder, replace_file, whole

KB = 1024


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for data in (b'old', b'new'):
        replace_file(tmp_path / 'a.json', data)
        assert (tmp_path / 'a.json').read_bytes() == data
    assert names(tmp_path) == ['a.json']


@pytest.mark.parametrize('way', ['replace_file', 'whole'])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, way: str) -> None:
    path = tmp_path / 'a.json'
    path.write_bytes(b'old')

    def write() -> None:
        if way == 'replace_file':
            replace_file(path, bytes(2 * KB))
        else:
            with whole(path) as part:
                part.write_bytes(bytes(2 * KB))
    with full_disk(KB), pytest.raises(CannotWrite, match=r'a\.json: cannot be written: File too'):
        write()
    assert (names(tmp_path), path.read_bytes()) == (['a.json'], b'old')


@pytest.mark.parametrize('place', ['file/out', '/proc/shadowtutor/out'])
def test_what_is_in_the_way_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / 'file').write_bytes(b'')
    path = tmp_path / place
    with pytest.raises(CannotWrite, match=f'{place}: cannot be written'), whole(path):
        pass
    with pytest.raises(CannotWrite, match=f'{place}: cannot be written'):
        make_folder(path)
    with pytest.raises(CannotWrite, match=f'{place}: cannot be written'):
        replace_file(path, b'')


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for name in ('old', 'new'):
        with whole(tmp_path / 'deep' / 'out') as part:
            part.mkdir()
            (part / name).write_bytes(b'')
            assert not (tmp_path / 'deep' / 'out' / name).exists()
    assert names(tmp_path / 'deep') == ['out']
    assert names(tmp_path / 'deep' / 'out') == ['new']


@pytest.mark.parametrize('error', [RuntimeError, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_nothing(
    tmp_path: Path, error: type[BaseException],
) -> None:
    def fail() -> None:
        with whole(tmp_path / 'out') as part:
            part.mkdir()
            (part / 'a').write_bytes(b'')
            raise error
    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_what_a_killed_writer_left_looks_like_nothing_and_goes_with_the_next(
    tmp_path: Path,
) -> None:
    with _half(tmp_path / 'out') as process:
        assert process.stdout is not None
        process.stdout.readline()
        living, = names(tmp_path)
        with whole(tmp_path / 'out') as part:  # another one at the same time
            part.write_bytes(b'whole')
        assert names(tmp_path) == ['out', living]
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert living.endswith('.part')
    with whole(tmp_path / 'out') as part:
        part.write_bytes(b'newer')
    assert names(tmp_path) == ['out']


def _half(path: Path) -> subprocess.Popen[bytes]:
    """Start a process that is in the middle of writing ``path`` when it has said a line."""
    return subprocess.Popen(
        [sys.executable, '-c',
         'import sys\n'
         'from pathlib import Path\n'
         'from shadowtutor_ros.whole_file import whole\n'
         'with whole(Path(sys.argv[1])) as part:\n'
         '    part.write_bytes(b"half")\n'
         '    print(flush=True)\n'
         '    sys.stdin.read()\n', str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
