# SPDX-License-Identifier: Apache-2.0
"""The same setting in one process and over the real nodes."""

import json
from pathlib import Path

import pytest
from scene import Scene

from shadowtutor_ros import cli
from shadowtutor_ros.evaluation.record import FrameRecord, read_records

pytestmark = pytest.mark.ros

SAME = ('frame', 'miou', 'key_frame', 'steps', 'bytes_up', 'bytes_down')


def evaluate(scene: Scene, out: Path, *more: str) -> int:
    return cli.main(['evaluate', str(scene.video), '--labels', str(scene.label_maps), '--frames',
                     '28', '--settings', 'partial-1,partial-8,naive', '--threads', '1',
                     '--checkpoint', 'random', '--out', str(out), *more])


def test_both_ways_agree_with_the_same_delays(scene: Scene, tmp_path: Path) -> None:
    one, ros = tmp_path / 'one', tmp_path / 'ros'
    assert evaluate(scene, one) == evaluate(scene, ros, '--ros') == 0
    for setting in ('partial-1', 'partial-8'):
        records = [read_records(out / 'runs' / 'video' / setting / 'frames.csv')
                   for out in (one, ros)]
        for expected, got in zip(*records):
            for name in SAME:
                assert getattr(got, name) == pytest.approx(getattr(expected, name), abs=0.005), (
                    setting, expected.frame, name)
            assert repr(got.staleness) == repr(expected.staleness)
        key_frames = [record for record in records[1] if record.key_frame and record.steps]
        assert key_frames
        for record in key_frames:
            assert record.t_sd > 0
            assert record.t_net > 0
    summary = json.loads((ros / 'summary.json').read_text())
    assert summary['mode'] == 'ros'
    assert summary['videos']['video']['partial-1']['together']
    naive = summary['videos']['video']['naive']
    assert naive['together']
    assert naive['miou'] == 100.0
    assert (ros / 'throughput_video.png').is_file()


def test_frames_are_filled_in_from_statuses() -> None:
    from shadowtutor_msgs.msg import StudentStatus

    from shadowtutor_ros.evaluation.over_ros import fill_in
    from shadowtutor_ros.wire.messages import stamp_to_msg

    records = [FrameRecord(index, 0.5) for index in range(8)]
    sent = {'key_frame_stamp': stamp_to_msg(round(2e9 / 25)), 'key_frames': 1, 'bytes_up': 700}
    fill_in(records, [
        StudentStatus(frames_processed=3, inference_ms=9.0, **sent),
        StudentStatus(frames_processed=5, inference_ms=8.0, updates_applied=1, bytes_down=300,
                      steps=4, metric=0.75, turnaround_ms=100.0, queue_ms=1.0, teacher_ms=20.0,
                      training_ms=40.0, **sent)], 25.0)
    key_frame = records[2]
    assert (key_frame.key_frame, key_frame.bytes_up, key_frame.bytes_down) == (True, 700, 300)
    assert (key_frame.steps, key_frame.metric) == (4, 0.75)
    assert (key_frame.t_ti, key_frame.t_sd, key_frame.t_net) == (20.0, 10.0, 39.0)
    assert [repr(record.staleness) for record in records] == ['nan'] * 5 + ['3', '4', '5']
    assert [record.t_si for record in records[3:5]] == [pytest.approx(float('nan'), nan_ok=True),
                                                       8.0]
