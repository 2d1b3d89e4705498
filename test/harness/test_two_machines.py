# SPDX-License-Identifier: Apache-2.0
"""The real nodes over a shaped link between two namespaces."""

from pathlib import Path

import pytest
from scene import Scene

from shadowtutor_ros.harness import two_machines
from shadowtutor_ros.harness.netlab import NetLab, NetLabUnavailable
from shadowtutor_ros.harness.processes import ProcessDied
from shadowtutor_ros.harness.trial import Trial
from shadowtutor_ros.harness.two_machines import TwoMachines

pytestmark = pytest.mark.ros

FRAME, MASK, WEIGHTS, BUCKET = 96 * 128 * 3, 96 * 128, 413_860, 4096  # bytes


def teacher(scene: Scene) -> dict[str, object]:
    return {'teacher': 'labels', 'teacher_weights': str(scene.label_maps),
            'labels_fps': scene.fps}


def test_the_link_carries_every_byte_once(scene: Scene, tmp_path: Path) -> None:
    try:
        with NetLab() as lab:
            machines = TwoMachines(lab)
            lab.shape(8)
            shadow = machines.shadow(Trial(
                scene.video, scene.fps, 17,
                {**teacher(scene), 'max_updates': 1, 'cold_start_updates': 1,
                 'cold_start_group': 'partial', 'weight_encoding': 'fp32',
                 'checkpoint': 'random'},  # whose bits pieces do not compress
                {'key_frame_format': 'raw'}), tmp_path / 'shadow')
            lab.shape(2)
            naive = machines.naive(
                Trial(scene.video, scene.fps, 12, teacher(scene)), tmp_path / 'naive')
    except NetLabUnavailable as error:
        pytest.skip(str(error))

    first, last = shadow.seen.statuses[0], shadow.seen.statuses[-1]
    assert (first['key_frames'], last['failures']) == (0, 0)
    assert last['updates_applied'] >= 2
    assert last['bytes_up'] == last['key_frames'] * FRAME
    assert last['bytes_down'] == last['updates_applied'] * WEIGHTS
    assert shadow.wire_bytes is not None
    least = last['bytes_up'] + last['bytes_down']
    most = last['key_frames'] * (FRAME + WEIGHTS)  # the last answer may still be under way
    assert least < shadow.wire_bytes < 1.3 * most
    # Neither way is free: a key frame takes at least what its bytes take at 8 Mbps.
    network = (last['turnaround_ms'] - last['queue_ms'] - last['teacher_ms']
               - last['training_ms'])
    assert network >= 0.9 * 8 * (FRAME + WEIGHTS) / 8e6 * 1e3

    assert len(naive.seen.times) == 12
    assert naive.seen.statuses == []
    at_once = 2 * BUCKET  # after a pause each direction lets a full bucket pass
    # No lower bound: a sample that a busy reader lost is repaired by a heartbeat, seconds later.
    assert 0 < naive.fps < 2e6 / (8 * (FRAME + MASK - at_once))


def test_without_a_lab_both_are_this_machine(scene: Scene, tmp_path: Path) -> None:
    run = TwoMachines(None).naive(
        Trial(scene.video, scene.fps, 5, teacher(scene)), tmp_path)
    assert run.wire_bytes is None
    assert run.fps > 0


def test_a_node_that_dies_ends_the_run(scene: Scene, tmp_path: Path) -> None:
    trial = Trial(scene.video, scene.fps, 5, {'teacher': 'labels',
                                                'teacher_weights': '/nowhere'})
    with pytest.raises(ProcessDied, match='/nowhere: expected a folder'):
        TwoMachines(None).naive(trial, tmp_path)


@pytest.mark.parametrize(('profile', 'expected'), [
    ({}, {}), ({'CYCLONEDDS_URI': 'own'}, {'CYCLONEDDS_URI': 'own'}), (None, 'lab.xml')])
def test_a_profile_is_given_and_never_inherited(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    profile: dict[str, str] | None, expected: dict[str, str] | str,
) -> None:
    seen: dict[str, str] = {}

    class Stop(Exception):
        pass

    def process(*arguments: object) -> None:
        seen.update(arguments[4])  # type: ignore[call-overload]
        raise Stop

    variables = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE',
                 'FASTDDS_BUILTIN_TRANSPORTS', 'CYCLONEDDS_URI')
    for variable in variables:
        monkeypatch.setenv(variable, 'inherited')
    monkeypatch.setattr(two_machines, 'NodeProcess', process)
    with pytest.raises(Stop):
        TwoMachines(None, profile).naive(
            Trial(scene.video, scene.fps, 5, teacher(scene)), tmp_path)
    given = {variable: seen[variable] for variable in variables if variable in seen}
    if isinstance(expected, str):
        assert set(given) == set(variables[:2])
        assert {Path(path).name for path in given.values()} == {expected}
    else:
        assert given == expected
