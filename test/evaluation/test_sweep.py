# SPDX-License-Identifier: Apache-2.0
import argparse
from dataclasses import replace
import json
from pathlib import Path

import pytest
from scene import Scene

from shadowtutor_ros.commands import sweep as command
from shadowtutor_ros.evaluation import sweep as module
from shadowtutor_ros.evaluation.bounds import Limits, Measured, throughput_fps
from shadowtutor_ros.evaluation.points import (
    latencies,
    measured_point,
    point,
    Sweep,
    SweepError,
)
from shadowtutor_ros.evaluation.sweep import PAPER_MBPS, run_sweep, SweepSettings
from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable
from shadowtutor_ros.harness.trial import TrialError
from shadowtutor_ros.harness.two_machines import LinkRun
from shadowtutor_ros.harness.watch import Seen

LIMITS = Limits()
MEASURED = Measured(t_si=0.1, t_sd=0.01, t_ti=0.05, t_net=0.02, s_net=1e6)
NAIVE = replace(MEASURED, t_net=0.1, s_net=2e6)


def status(key_frames: int, updates: int, steps: int, network_ms: float) -> dict[str, float]:
    training = 20.0 * steps
    return {'key_frames': key_frames, 'updates_applied': updates, 'failures': 0, 'steps': steps,
            'bytes_up': 1000 * key_frames, 'bytes_down': 300 * updates, 'queue_ms': 1.0,
            'teacher_ms': 50.0, 'training_ms': training,
            'turnaround_ms': 51.0 + training + network_ms}


STATUSES = [status(0, 0, 0, 0), status(1, 0, 0, 0), status(1, 1, 8, 30), status(2, 1, 8, 30),
            status(2, 2, 2, 10), status(2, 2, 2, 10), status(3, 2, 2, 10)]


def seen(fps: float, frames: int = 31) -> Seen:
    return Seen([5 + index / fps for index in range(frames)], STATUSES)


def test_latencies_are_means_over_answered_key_frames() -> None:
    measured = latencies(STATUSES, t_si=0.1)
    assert measured.t_sd == pytest.approx(0.02)
    assert measured.t_ti == pytest.approx(0.05)
    assert measured.t_net == pytest.approx(0.02)
    assert measured.s_net == pytest.approx(1300)
    assert measured.t_si == 0.1


def test_a_run_without_an_answer_has_no_latencies() -> None:
    with pytest.raises(SweepError, match='expected an answered key frame, got none'):
        latencies(STATUSES[:2], 0.1)


def test_the_rate_adds_the_time_of_the_payload() -> None:
    computed = point(8.0, MEASURED, NAIVE, LIMITS)
    assert (computed.lower, computed.upper) == throughput_fps(
        replace(MEASURED, t_net=1.02), LIMITS)
    assert computed.naive_bound == pytest.approx(1 / (0.1 + 2.0 + 0.05))
    assert computed.fps is None


@pytest.mark.parametrize(('fps', 'inside'), [(0.5, False), (8.0, True), (11.0, False)])
def test_a_violated_bound_is_said(fps: float, inside: bool) -> None:
    run = LinkRun(seen(fps), wire_bytes=4000)
    measured = measured_point(80.0, MEASURED, NAIVE, LIMITS, run, naive_fps=2.5)
    assert measured.fps == pytest.approx(fps)
    assert measured.inside is inside
    # The step and the teacher are those of the run: 0.02 s and 0.05 s.
    same_run = replace(MEASURED, t_sd=0.02)
    assert measured.lower == point(80.0, same_run, NAIVE, LIMITS).lower
    assert (measured.payload_bytes, measured.wire_bytes) == (3600, 4000)
    assert measured.key_frame_ratio == pytest.approx(3 / 31)
    row = Sweep('v', 31, 12, MEASURED, NAIVE, LIMITS, (measured,)).table().splitlines()[-1]
    assert ('NO' in row) is not inside


class NoLab:
    def __enter__(self) -> NetLab:
        raise NetLabUnavailable('network namespaces need root')

    def __exit__(self, *_: object) -> None:
        pass


class Machines:
    """Machines that have seen everything before."""

    def __init__(self, lab: NetLab | None) -> None:
        pass

    def shadow(self, trial: object, logs: Path) -> LinkRun:
        return LinkRun(seen(10.0), None)

    def naive(self, trial: object, logs: Path) -> LinkRun:
        return LinkRun(Seen([0.0, 0.5, 1.0], []), None)


def test_without_permission_the_equations_alone(
    monkeypatch: pytest.MonkeyPatch, scene: Scene, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(module, 'NetLab', NoLab)
    monkeypatch.setattr(module, 'TwoMachines', Machines)
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    out = tmp_path / 'out'
    assert command.run(parser.parse_args(
        [str(scene.video), '--labels', str(scene.label_maps), '--out', str(out)])) == 0
    printed = capsys.readouterr().out
    assert 'network namespaces need root' in printed
    assert '| 8 | - | ' in printed
    written = json.loads((out / 'sweep.json').read_text())
    assert {'measured', 'limits', 'points'} <= written.keys()
    assert written['limits'] == {'min_stride': 8, 'max_stride': 64, 'max_updates': 8}
    assert written['measured']['t_si'] == pytest.approx(0.1)
    assert written['naive']['s_net'] == 96 * 128 * 4
    assert written['naive']['t_net'] + written['naive']['t_ti'] == pytest.approx(0.5)
    assert [p['mbps'] for p in written['points']] == list(PAPER_MBPS)
    assert {p['fps'] for p in written['points']} == {None}
    assert all(p['lower'] < p['upper'] for p in written['points'])
    assert 'root' in written['note']


def test_every_bandwidth_is_shaped_and_measured(
    monkeypatch: pytest.MonkeyPatch, scene: Scene, tmp_path: Path,
) -> None:
    shaped: list[float] = []

    class Lab(NoLab):
        def __enter__(self) -> NetLab:
            return self

        def shape(self, mbps: float) -> None:
            shaped.append(mbps)

    monkeypatch.setattr(module, 'NetLab', Lab)
    monkeypatch.setattr(module, 'TwoMachines', Machines)
    lines: list[str] = []
    sweep = run_sweep(SweepSettings(
        scene.video, scene.label_maps, tmp_path, (40.0, 8.0), naive_frames=5), lines.append)
    assert shaped == [40.0, 8.0]
    assert (sweep.frames, sweep.naive_frames, sweep.note) == (40, 5, '')
    assert [p.fps for p in sweep.points] == pytest.approx([10.0, 10.0])
    assert [p.naive_fps for p in sweep.points] == pytest.approx([2.0, 2.0])
    assert lines[-2:] == ['8-mbps/shadow: 10.00 FPS', '8-mbps/naive: 2.00 FPS']


def test_a_failed_key_frame_ends_the_sweep(
    monkeypatch: pytest.MonkeyPatch, scene: Scene, tmp_path: Path,
) -> None:
    monkeypatch.setattr(module, 'NetLab', NoLab)
    monkeypatch.setattr(module, 'TwoMachines', Machines)
    monkeypatch.setitem(STATUSES[-1], 'failures', 2)
    with pytest.raises(TrialError, match='calibration/quiet: 2 key frames failed'):
        run_sweep(SweepSettings(scene.video, scene.label_maps, tmp_path))


@pytest.mark.parametrize('arguments', [
    ['v.avi'], ['v.avi', '--labels', 'x', '--mbps', '8,0'],
    ['v.avi', '--labels', 'x', '--frames', '1']])
def test_bad_arguments_end_it(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(arguments)
