# SPDX-License-Identifier: Apache-2.0
"""A robot and its helpers on two sides of a link that loses packets."""

import json
from pathlib import Path
import sys

import musical_chair
import pytest
from scene import Scene

from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable

pytestmark = pytest.mark.ros


@pytest.fixture
def _lossy() -> None:
    try:
        with NetLab() as lab:
            lab.lose(5)
    except NetLabUnavailable as error:
        pytest.skip(f'no lossy link: {error}')


@pytest.mark.usefixtures('_lossy')
def test_helpers_across_a_link_that_loses_packets(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / 'chair.json'
    monkeypatch.setattr(sys, 'argv', [
        'musical_chair', str(scene.video), '--devices', '3', '--modes', 'frames', '--loss', '5',
        '--size', '128', '96', '--share-of-a-cpu', '0', '--rate', '15', '--seconds', '5',
        '--no-leaving', '--json', str(out), '--logs', str(tmp_path)])
    musical_chair.main()
    row, = json.loads(out.read_text())['rows']
    assert (row['mode'], row['devices'], row['loss_percent']) == ('frames', 3, 5)
    assert row['works'] == 3
    assert row['in_order']
    assert row['fps'] > 5
    assert row['longest_pause_ms'] < 2000
    assert 'helps no more: silent' not in (tmp_path / 'student.log').read_text()


def test_a_device_has_a_part_of_a_cpu(tmp_path: Path) -> None:
    if not (musical_chair._CGROUPS / 'cpu').is_dir():
        pytest.skip('no cgroups of version 1 here')
    try:
        with musical_chair.quota(0.25) as prefix:
            group = Path(prefix[2].split()[3]).parent
            assert (group / 'cpu.cfs_quota_us').read_text().strip() == '10000'
            assert (group / 'cpu.cfs_period_us').read_text().strip() == '40000'
    except PermissionError as error:
        pytest.skip(f'not as root: {error}')
    assert not group.exists()


def test_a_row_is_of_what_was_seen() -> None:
    seen = {'started': 10.0, 'ended': 12.0, 'works': 2, 'share': 'frames',
            'cpu': {'student': 0.2, 'helper1': 0.4},
            'seen': [[10.0, 10.1], [10.5, 10.6], [11.0, 11.4], [10.9, 11.5]]}
    row = musical_chair.row_of(seen, 'frames', 2, 5.0)
    assert (row['fps'], row['in_order']) == (2.0, False)
    assert row['cpu_s_per_frame'] == pytest.approx(0.15)
    assert row['robot_cpu_s_per_frame'] == pytest.approx(0.05)
    assert row['latency_ms_p50'] == pytest.approx(250.0)
    assert row['longest_pause_ms'] == pytest.approx(800.0)
