# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import cv2
from link_figures import Row
from link_grid import Ask, LOSS, OUTAGE
import link_lab
import pytest
import run
from scene import Scene

from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable


def need_lab() -> None:
    try:
        with NetLab() as lab:
            lab.lose(1)
    except NetLabUnavailable as error:
        pytest.skip(str(error))


@pytest.mark.ros
def test_one_run_over_a_slow_link(
    scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    need_lab()
    file = tmp_path / 'rows.json'
    assert run.main(['--rate', '20', '--queue-kb', '1000', '--profile', 'none',
                     '--key-frames', '3', '--key-frame-kb', '50', '--seconds', '60',
                     '--video', str(scene.video), '--json', str(file),
                     '--out', str(tmp_path / 'logs')]) == 0
    row = json.loads(file.read_text())['rows'][0]
    assert (row['loss_percent'], row['rate_mbps'], row['profile']) == (0, 20, 'none')
    assert (row['queue_bytes'], row['packets_dropped'], row['packets_lost']) == (1_000_000, 0, 0)
    assert (row['key_frames'], row['failed'], row['note']) == (3, 0, '')
    assert row['payload_bytes_up'] == pytest.approx(3 * 50_000, rel=0.05)
    payload = row['payload_bytes_up'] + row['payload_bytes_down']
    assert row['wire_bytes'] > payload
    # What the bytes alone take at 20 Mbps is the link's, not the tutor's.
    assert row['link_ms_p50'] > 0.9 * payload / 3 * 8 / 20e6 * 1e3
    assert row['link_ms_p50'] < row['turnaround_ms_p50'] <= row['turnaround_ms_p95']
    assert 0 < row['discovery_s'] < 60
    assert '| loss | 0 % | 20 | none | 3 | 0 |' in capsys.readouterr().out


@pytest.mark.ros
def test_an_outage_ends(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    need_lab()
    monkeypatch.setattr(link_lab, 'OUTAGE_SECONDS', 3.0)
    settings = link_lab.Settings(
        scene.video, tmp_path, {'none': {}}, {'goal_timeout': 1.0}, key_frame_bytes=20_000)
    row = link_lab.measure(Ask(OUTAGE, 0, None, 'none', 0, 60), settings, tmp_path / 'logs')
    assert row.note == ''
    assert row.outage_s == 3.0
    assert row.failed >= 1
    assert row.recovery_s is not None
    assert row.recovery_s > 0


def fake(ask: Ask, settings: link_lab.Settings, logs: Path) -> Row:
    if ask.loss == 20:
        raise NetLabUnavailable('network namespaces need root')
    return Row(LOSS, ask.loss, ask.rate, ask.profile, dict(settings.student),
               key_frames=ask.key_frames)


def test_rows_are_kept_when_a_later_one_ends_it(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, 'measure', fake)
    file = tmp_path / 'rows.json'
    assert run.main(['--loss', '5,10,20', '--rate', 'none,8', '--profile', 'none',
                     '--transfer', 'pieces', '--student', 'goal_timeout=2.5',
                     '--video', str(scene.video), '--json', str(file),
                     '--out', str(tmp_path)]) == 1
    rows = json.loads(file.read_text())['rows']
    assert [(row['loss_percent'], row['rate_mbps'], row['key_frames']) for row in rows] == [
        (5, None, 200), (5, 8, 200), (10, None, 100), (10, 8, 100)]
    assert rows[0]['student'] == {'transfer': 'pieces', 'goal_timeout': 2.5}
    out, err = capsys.readouterr()
    assert 'NetLabUnavailable: network namespaces need root' in err
    assert out.count('| 10 % | 8 |') == 2  # as it came, and in the table


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['--profile', 'nonsense'], 'profile: expected one of'),
    (['--kind', 'burst'], '--kind burst: expected a --loss above 0')])
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str],
) -> None:
    assert run.main(arguments) == 1
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize('arguments', [
    ['--loss', '101'], ['--rate', '0'], ['--grid', 'some'], ['--student', 'transfer']])
def test_bad_arguments_end_it(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        run.main(arguments)


def test_a_small_video_has_the_size_of_a_large_jpeg(scene: Scene, tmp_path: Path) -> None:
    frames, labels = link_lab.small_video(scene.video, 110_000, tmp_path)
    pictures = sorted(frames.iterdir())
    assert len(pictures) == 40
    frame, label = cv2.imread(str(pictures[0])), cv2.imread(str(next(labels.iterdir())), 0)
    assert frame.size == pytest.approx(110_000, rel=0.01)
    assert label.shape == frame.shape[:2]
    assert set(label.flat) == {0, 8}
