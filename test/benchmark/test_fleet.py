# SPDX-License-Identifier: Apache-2.0
"""The fleet benchmark at the size of a thumbnail."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
import json
from pathlib import Path

import fleet
from fleet_robots import Film, FutureLink, NoInference, play, read_film, Robot
from gpu_utilisation import GpuUtilisation, mean_of
import numpy as np
import pytest
from runtime.near import whole_update
from scene import make_scene, Scene
import torch

from shadowtutor_ros.classes import ClassSet
from shadowtutor_ros.distill.settings import DistillSettings
from shadowtutor_ros.frame import Frame
from shadowtutor_ros.model.student import Student, StudentInfo
from shadowtutor_ros.runtime.link import LinkFailure
from shadowtutor_ros.schedule.turns import TooManyStreams
from shadowtutor_ros.share import config_file
from shadowtutor_ros.teacher.protocol import Labelling
from shadowtutor_ros.video import VideoError
from shadowtutor_ros.wire.camera_picture import CameraPicture
from shadowtutor_ros.wire.key_frame import encode_frame
from shadowtutor_ros.wire.update import KeyFrame, StudentUpdate

CLASSES = ClassSet.load(config_file('lvs8', 'classes'))
INFO = StudentInfo(CLASSES.names)
ROW = {'robots', 'key_frames_per_second', 'turnaround_ms_p50', 'turnaround_ms_p95', 'fairness',
       'miou'}


class ColourTeacher:
    """Tells the scene's shapes by their colours, which a JPEG keeps."""

    name, version = 'colours', '1'

    def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
        blue, _, red = (frame[..., channel].astype(int) for channel in range(3))
        class_ids = np.full(frame.shape[:2], CLASSES.background, np.uint8)
        class_ids[red - blue > 90] = CLASSES.names.index('person')
        class_ids[blue - red > 90] = CLASSES.names.index('auto')
        return Labelling(class_ids)


@pytest.fixture(scope='module')
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return make_scene(tmp_path_factory.mktemp('scene'), CLASSES, 5)


@pytest.fixture
def cast(scene: Scene) -> fleet.Cast:
    film = read_film(scene.video, 5)
    return fleet.Cast([film], ColourTeacher(), Student.random(INFO, 0), fleet.warm_settings(
        DistillSettings.plain(threshold=0.9999, max_updates=1)), threads=1, seconds=1.5, sample=2)


def test_both_tutors_answer_the_same_robots(cast: fleet.Cast, scene: Scene) -> None:
    seen: list[str] = []
    rows = fleet.compare(cast, 2, 1, lambda name, one: seen.append(name))
    assert seen == list(rows) == [fleet.PRODUCT, fleet.LOCK_STEP]
    for row in rows.values():
        assert (row.robots, row.refused, row.failed, row.gpu_utilisation) == (2, 0, 0, None)
        assert row.key_frames == pytest.approx(row.key_frames_per_second * cast.seconds)
        assert 0 < row.turnaround_ms_p50 <= row.turnaround_ms_p95
        assert 0.5 <= row.fairness <= 1
        assert 0 < row.miou < 1
        assert row.steps_per_key_frame == 1
        assert row.staleness_s > 0
        assert len(row.rounds) == 1
    assert {position for _, position in cast.labels} == {0, 2, 4}
    assert (cast.labels['video', 2] == scene.labels[2]).mean() > 0.98
    text = fleet.table({name: [row] for name, row in rows.items()})
    assert len({line.count('|') for line in text.splitlines()}) == 1


def test_what_is_written(scene: Scene, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, 'create_teacher', lambda *args, **options: ColourTeacher())
    monkeypatch.setattr(fleet, 'SCHOOL_STEPS', 1)
    file = tmp_path / 'fleet.json'
    threads = torch.get_num_threads()
    fleet.main([str(scene.video), '--device', 'cpu', '--robots', '1', '--teacher', 'mine.pt',
                '--json', str(file), '--seconds', '1.5', '--rounds', '1', '--sample', '1',
                '--size', '64x48', '--threads', str(threads)])
    found = json.loads(file.read_text())
    assert [set(row) >= ROW for row in found['rows'] + found['baseline']] == [True, True]
    assert (found['rows'][0]['robots'], found['baseline'][0]['robots']) == (1, 1)
    assert (found['device'], found['size'], found['teacher']) == ('cpu', [64, 48], 'colours')
    assert len(found['speed_up']) == 1
    assert '| 1 | lock-step |' in capsys.readouterr().out


def test_two_pools_are_compared_with_each_other(cast: fleet.Cast) -> None:
    cast.workers = (1, 2)
    assert list(fleet.tutors_of(cast, 8)) == ['2 workers', '1 worker']
    for arguments in (['--ray-workers', '1,2'], ['--pin']):
        with pytest.raises(fleet.FleetError, match='need --workers ray'):
            fleet.main(arguments)
    for numbers in '2,2', '1,2,3':
        with pytest.raises(fleet.FleetError, match='expected one number or two different ones'):
            fleet.main(['--workers', 'ray', '--ray-workers', numbers])


def test_a_fleet_that_is_never_answered_is_given_up(cast: fleet.Cast) -> None:
    class Broken(ColourTeacher):
        def label(self, frame: Frame, stamp: float = 0.0) -> Labelling:
            raise MemoryError('too little')

    cast.teacher, cast.fps = Broken(), 2000.0
    tutor = fleet.Tutor(cast.teacher, cast.first, fleet.TutorSettings(cast.distill))
    with pytest.raises(fleet.FleetError, match='robot0: MemoryError: too little'):
        fleet.run(cast, 1, tutor)


def test_a_film_goes_to_and_fro(scene: Scene) -> None:
    film = read_film(scene.video, 4, (64, 48))
    assert [film.position(count) for count in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert film.frames[0].shape == (48, 64, 3)
    assert [Film('one', film.frames[:1]).position(count) for count in range(3)] == [0, 0, 0]
    with pytest.raises(VideoError):
        read_film(scene.video.parent / 'nothing.mp4', 4)


def test_robots_of_a_film_begin_at_different_places(cast: fleet.Cast) -> None:
    cast.sample = 1
    plain = fleet.LockStepTutor(cast.teacher, cast.first, cast.distill)
    robots = fleet.robots_of(cast, 3, plain)
    plain.close()
    for robot in robots:
        robot.see(0, 0.0)
    assert [[look.position for look in robot.looks] for robot in robots] == [[0], [2], [3]]
    assert [robot.shown[0].key_frame for robot in robots] == [True] * 3


class Clock:
    """Time that passes only while somebody sleeps or works."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Watcher(Robot):
    """A robot of which only the frames that it is shown are of interest."""

    def __init__(self, cost: float, clock: Clock) -> None:
        self.counts: list[int] = []
        self._cost, self._clock = cost, clock

    def see(self, count: int, stamp: float) -> None:
        self.counts.append(count)
        self._clock.now += self._cost


def test_every_robot_sees_every_frame_at_its_time() -> None:
    clock = Clock()
    robots = [Watcher(0.0, clock) for _ in range(4)]
    play(robots, 8.0, lambda: clock.now < 101.0, clock, clock.sleep)
    for robot in robots:
        assert robot.counts == list(range(len(robot.counts)))
        assert len(robot.counts) in (8, 9)


def test_frames_that_nobody_has_time_for_are_gone() -> None:
    clock = Clock()
    robot = Watcher(0.3125, clock)
    play([robot], 8.0, lambda: clock.now < 102.0, clock, clock.sleep)
    assert robot.counts == [0, 2, 5, 7, 10, 12, 15]


class Promising:
    """A tutor whose answers are the test's to give."""

    def __init__(self) -> None:
        self.future: Future[StudentUpdate] = Future()
        self.full = False

    def first_student(self, stream_id: str, robot: int = 0) -> StudentUpdate:
        raise NotImplementedError

    def submit(self, key_frame: KeyFrame) -> Future[StudentUpdate]:
        if self.full:
            raise TooManyStreams('all places are taken')
        return self.future


def test_a_link_notes_what_comes_and_when(scene: Scene) -> None:
    tutor = Promising()
    link = FutureLink(tutor)
    key_frame = KeyFrame('a', 1, 0, 0, 0, '', encode_frame(scene.frames[0], 'jpeg'))
    link.send(key_frame)
    assert link.receive(False) is None
    tutor.future.set_exception(MemoryError('too little'))
    assert link.receive(False) == LinkFailure('MemoryError: too little')
    assert link.answered_at >= link.requests[0].sent_at
    assert not link.requests[0].refused
    tutor.full = True
    link.send(key_frame)
    assert link.receive(False) == LinkFailure('TooManyStreams: all places are taken')
    assert link.requests[1].refused


def test_a_student_is_copied_once_for_each_version() -> None:
    student = Student.random(INFO, 0)
    inference = NoInference(student)
    before = inference.weights
    assert inference.weights is before
    assert not inference.submit(CameraPicture.of(np.zeros((6, 4, 3), np.uint8))).result().any()
    tensors: Mapping[str, torch.Tensor] = {
        name: tensor + 1 for name, tensor in before.items() if name.startswith('out_conv3')}
    inference.load(tensors, whole_update(student, 1))
    after = inference.weights
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(tensors)


def test_what_nvidia_smi_says() -> None:
    assert mean_of('40\n60\n') == 50
    assert mean_of('[N/A]\n') is None
    cpu = GpuUtilisation(torch.device('cpu'))
    cpu.start()
    assert cpu.stop() is None


def test_a_teacher_is_a_name_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SHADOWTUTOR_CACHE', str(tmp_path))
    (tmp_path / 'yolov5s-seg.pt').write_bytes(b'')
    assert fleet.weights_of('yolov5s-seg') == tmp_path / 'yolov5s-seg.pt'
    assert fleet.weights_of('elsewhere/mine.pt') == Path('elsewhere/mine.pt')
