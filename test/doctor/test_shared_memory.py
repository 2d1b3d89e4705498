# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
import fcntl
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from shadowtutor_ros.doctor.finding import OK, SKIPPED, WARNING
from shadowtutor_ros.doctor.fixes import subcommand
from shadowtutor_ros.doctor.shared_memory import abandoned, CLEAR, clear, judge, shared_memory

LIVING, DEAD, NEW = ('fastrtps_0123456789abcdef', 'fastrtps_fedcba9876543210',
                     'fastrtps_1111111111111111')
NODE = ('import rclpy, time; rclpy.init(); node = rclpy.create_node("lives"); '
        'print("here", flush=True); time.sleep(600)')


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A living process's segment, a dead one's, one that is just made, and other things."""
    for name in LIVING, DEAD, NEW, 'fastrtps_port7410', 'of_somebody_else':
        (tmp_path / name).write_bytes(bytes(1000))
    for name in LIVING, DEAD, 'fastrtps_port7410':
        (tmp_path / f'{name}_el').touch()
    with (tmp_path / f'{LIVING}_el').open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield tmp_path


def test_only_what_dead_processes_left_is_found_and_cleared(folder: Path) -> None:
    assert abandoned(folder) == [folder / DEAD]
    finding = shared_memory(folder)
    assert finding.level == OK
    assert finding.found.startswith('1 segments of killed processes take 0.0 MiB')
    before = {path.name for path in folder.iterdir()}
    assert clear(folder) == (1, 1000)
    assert {path.name for path in folder.iterdir()} == before - {DEAD, f'{DEAD}_el'}
    assert clear(folder) == (0, 0)
    assert shared_memory(folder).found == 'nothing is left of killed processes'


def test_much_is_a_warning_with_the_command_that_clears_it(tmp_path: Path) -> None:
    finding = judge(300, 300 * 549408)
    assert (finding.level, finding.fix) == (WARNING, subcommand(CLEAR))
    assert '157.2 MiB' in finding.found
    assert shared_memory(tmp_path / 'missing').level == SKIPPED


@pytest.mark.ros
def test_a_node_of_fast_dds_holds_its_segments_until_it_is_killed(
    domain_id: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv('FASTRTPS_DEFAULT_PROFILES_FILE')  # which may do without shared memory
    before = set(Path('/dev/shm').iterdir())
    with subprocess.Popen([sys.executable, '-c', NODE], stdout=subprocess.PIPE) as node:
        assert node.stdout is not None
        # before it, Fast DDS may say that a port's segment is somebody else's
        assert any(line == b'here\n' for line in node.stdout)
        owned = {path for path in set(Path('/dev/shm').iterdir()) - before
                 if path.name + '_el' in {p.name for p in Path('/dev/shm').iterdir()}
                 and 'port' not in path.name}
        lived = owned - set(abandoned())
        node.send_signal(signal.SIGKILL)
        node.wait()
    assert lived
    assert lived & set(abandoned())
