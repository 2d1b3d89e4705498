# SPDX-License-Identifier: Apache-2.0
"""How much of the host's memory is free, by files as Linux has them."""

from pathlib import Path

import pytest
import torch

from shadowtutor_ros.model.device import free_memory
from shadowtutor_ros.model.host_memory import free_host_memory

MACHINE = 6_000_000 * 1024


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files of a machine that has 6 GB to give, and no limits."""
    for name, file in (('_MEMINFO', 'meminfo'), ('_OWN_CGROUPS', 'own'), ('_CGROUPS', 'groups')):
        monkeypatch.setattr(f'shadowtutor_ros.model.host_memory.{name}', tmp_path / file)
    (tmp_path / 'meminfo').write_text(
        'MemTotal:  8000000 kB\nMemFree:  200000 kB\nMemAvailable:  6000000 kB\n')
    return tmp_path


def limit(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text + '\n')


def test_it_is_what_the_machine_can_give_and_not_what_lies_idle(machine: Path) -> None:
    """Linux fills its memory with files that it lets go of when somebody wants it."""
    assert free_memory(torch.device('cpu')) == MACHINE
    (machine / 'meminfo').unlink()  # on other systems
    assert free_host_memory() > 0


@pytest.mark.parametrize('group', ['pods/mine', ''])
def test_a_limit_of_cgroups_version_2_counts(machine: Path, group: str) -> None:
    """Also where a container sees its own group as the root."""
    (machine / 'own').write_text('0::/pods/mine\n')
    limit(machine / 'groups' / group, {
        'memory.max': '3000000', 'memory.current': '2500000',
        'memory.stat': 'anon 1500000\ninactive_file 400000\nactive_file 600000'})
    assert free_host_memory() == 900_000


def test_a_limit_of_cgroups_version_1_counts(machine: Path) -> None:
    (machine / 'own').write_text('5:devices:/\n4:cpu,memory:/job\n0::/\n')
    limit(machine / 'groups/memory/job', {
        'memory.limit_in_bytes': '9000', 'memory.usage_in_bytes': '5000',
        'memory.stat': 'inactive_file 1\ntotal_inactive_file 1000'})
    assert free_host_memory() == 5000


def test_the_narrowest_group_counts(machine: Path) -> None:
    (machine / 'own').write_text('0::/a/b\n')
    for group, most, used in (('a', '5000', '4900'), ('a/b', 'max', '10'), ('', '4000', '10')):
        limit(machine / 'groups' / group, {
            'memory.max': most, 'memory.current': used, 'memory.stat': ''})
    assert free_host_memory() == 100
    limit(machine / 'groups/a', {'memory.max': '4000'})  # below what is used
    assert free_host_memory() == 0
